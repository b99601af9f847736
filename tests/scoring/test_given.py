"""Data, losses and models as users have them are accepted if they are unambiguous, or refused."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from foretell import Batch, ForetellError, load_data, rank, score, score_many

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 9])


def net() -> nn.Module:
    """A classifier of ten classes, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 10))


def snip(batch: Any, **how: Any) -> float:
    """The score of the classifier on a batch."""
    return score(net(), batch, "snip", **how)["snip"].value


TAKEN: dict[str, Any] = {
    "arrays": (X.numpy(), Y.numpy()),
    "arrays in float64": (X.double().numpy(), Y.numpy()),
    "arrays of another byte order": (X.numpy().astype(">f4"), Y.numpy().astype(">i8")),
    "read-only arrays": (np.broadcast_to(X.numpy(), (4, 3)), np.broadcast_to(Y.numpy(), 4)),
    "frames": (pd.DataFrame(X.numpy()), pd.Series(Y.numpy())),
    "a list of labels": (X, Y.tolist()),
    "labels in 32 bits": (X, Y.int()),
    "labels in bytes": (X, Y.to(torch.uint8)),
    "a list": [X, Y],
    "a Batch of arrays": Batch(X.numpy(), Y.numpy()),
    "a loader": DataLoader(TensorDataset(X, Y), batch_size=4),
    "a data set": TensorDataset(X, Y),
}


@pytest.mark.parametrize("form", TAKEN)
def test_unambiguous_batches_are_accepted(form: str) -> None:
    assert snip(TAKEN[form]) == snip((X, Y))


def test_whole_numbers_are_targets_of_losses_of_numbers() -> None:
    ones = torch.ones(4, 10)
    for loss in ("mse", "bce_with_logits"):
        assert snip((X, ones.long()), loss=loss) == snip((X, ones), loss=loss)


MISTAKEN: dict[str, tuple[Any, str]] = {
    "a name of data": ("digits", r"batch is 'digits'; .*minibatch\(load_data\(name\).train"),
    "a data set": (load_data("digits"), r"batch is a Splits; .*minibatch\(data.train"),
    "two inputs": ((X, X, Y), r"batch has 3 entries; .* \(\(first, second\), targets\)"),
    "inputs alone": (X, "batch is a Tensor; expected a pair"),
    "lists of numbers": ((X.tolist(), Y), r"inputs is a list without a tensor; .* torch.tensor"),
    "an array of text": ((np.array(["a"] * 4), Y), "inputs holds an ndarray of <U1; expected"),
    "no samples": ((X[:0].numpy(), Y[:0].numpy()), "the batch is empty"),
}


@pytest.mark.parametrize("form", MISTAKEN)
def test_what_is_not_a_batch_is_refused_with_the_next_step(form: str) -> None:
    given, said = MISTAKEN[form]
    for function in (score, score_many):
        with pytest.raises(ForetellError, match=said):
            function(net(), given, ["params"])
    with pytest.raises(ForetellError, match=said):
        rank([net()], given, ["params"])


NO_TARGETS: dict[str, tuple[str, Any, str]] = {
    "float": ("cross_entropy", Y.float(), r"float32 of shape \[4\]; .* integers of shape \[4\]"),
    "a column": ("cross_entropy", Y[:, None], r"int64 of shape \[4, 1\]; .* of shape \[4\]"),
    "one-hot integers": ("cross_entropy", F.one_hot(Y), r"int64 of shape \[4, 10\]"),
    "truth values": ("cross_entropy", Y > 1, r"bool of shape \[4\]; .* class indices"),
    "class 10 of 10": ("cross_entropy", Y + 1, "label 10 is out of range: the model has 10"),
    "none": ("cross_entropy", None, "targets are None; .* a tensor of class indices"),
    "undefined": ("cross_entropy", torch.full((4, 10), torch.nan), "40 values that are NaN"),
    "no probabilities": ("cross_entropy", torch.eye(10)[:4] - 0.1, "not the probabilities .* mse"),
    "labels for mse": ("mse", Y, r"int64 of shape \[4\]; mse expects .* \[4, 10\]"),
    "not from 0 to 1": ("bce_with_logits", torch.full((4, 10), 3.0), "run from 3 to 3; .* 0 to 1"),
    "nan for mse": ("mse", torch.full((4, 10), torch.nan), "40 values that are NaN"),
}


@pytest.mark.parametrize("kind", NO_TARGETS)
def test_targets_that_do_not_fit_the_loss_are_named(kind: str) -> None:
    loss, targets, said = NO_TARGETS[kind]
    with pytest.raises(ForetellError, match=said) as caught:
        snip((X, targets), loss=loss)
    assert "\n" not in str(caught.value)


BAD_LOSSES: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (lambda o, t: 1 / 0, "ZeroDivisionError: division by zero"),
    "of one argument": (lambda o: o.sum(), "takes 1 positional argument but 2 were given"),
    "nothing": (lambda o, t: None, "not NoneType; return a tensor"),
    "a number": (lambda o, t: 1.0, "not float; return a tensor"),
    "a loss for each sample": (lambda o, t: o.sum(1), r"shape \[4\]; reduce it by its mean"),
    "complex": (lambda o, t: o.sum() * 1j, "complex64 .*; return a real number"),
    "a class": (nn.CrossEntropyLoss, r"loss that is made: CrossEntropyLoss\(\)"),
}


@pytest.mark.parametrize("kind", BAD_LOSSES)
def test_what_is_not_a_loss_is_refused_by_every_function(kind: str) -> None:
    """`rank` refuses it too, since the scores of all models would be nan."""
    loss, said = BAD_LOSSES[kind]
    with pytest.raises(ForetellError, match=said):
        score(net(), (X, Y), "snip", loss=loss)
    with pytest.raises(ForetellError, match=said):
        rank([net(), net()], (X, Y), ["snip"], loss=loss)


@pytest.mark.parametrize("micro_batch", [None, 2])
@pytest.mark.parametrize(("value", "kind"), [(math.nan, "nan"), (math.inf, "infinite")])
def test_a_loss_that_is_not_finite_is_the_reason(
    value: float, kind: str, micro_batch: int | None
) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs * value).square().mean()

    asked = ["snip", "grasp", "fisher", "zico", "synflow"]
    found = score(net(), (X, Y), asked, loss=loss, micro_batch=micro_batch)
    for name in asked[:-1]:
        assert found[name].why == f"the loss is {kind}"
    assert found["synflow"].why is None


def test_outputs_that_are_not_finite_are_part_of_the_reason() -> None:
    class Broken(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * math.nan

    why = score(Broken(3, 10), (X, Y), "snip")["snip"].why
    assert why == "the loss is nan, and the model's outputs are not finite"


class Own(nn.Module):
    """A model whose variants raise exceptions in unexpected places."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        out: Tensor = self.layer(x)
        return out


def raising(error: BaseException) -> Callable[..., Any]:
    """A method that raises `error`."""

    def method(self: Own, *args: object, **options: object) -> Any:
        raise error

    return method


@pytest.mark.parametrize("error", [KeyError("own"), SystemExit("own")])
@pytest.mark.parametrize("method", ["forward", "parameters", "named_buffers", "train"])
def test_whatever_a_models_own_code_raises_is_its_reason(method: str, error: BaseException) -> None:
    broken = type("Broken", (Own,), {method: raising(error)})()
    with pytest.raises(ForetellError, match="own"):
        score_many(broken, (X, Y), ["snip"])
    table = rank({"broken": broken, "good": net()}, (X, Y), ["snip"])
    assert table["why"]["good"] == ""
    assert f"{type(error).__name__}: " in table["why"]["broken"]


def test_whatever_the_batches_of_a_model_raise_is_its_reason() -> None:
    table = rank({"a": net(), "b": net()}, lambda name: {"a": (X, Y)}[name], ["snip"])
    assert table["why"].tolist() == ["", "batches('b') raised KeyError: 'b'"]


def test_an_iterator_of_models_that_raises_loses_none_of_the_scores_before() -> None:
    def models() -> Iterator[nn.Module]:
        yield net()
        raise OSError("no such file")

    table = rank(models(), (X, Y), ["snip"])
    assert table["why"].tolist()[0] == ""
    assert "OSError: no such file; those after it are missing" in table["why"].tolist()[1]


@pytest.mark.parametrize("name", ["nb201:333013", "resnet18"])
def test_a_name_in_the_place_of_a_model_is_refused_with_the_next_step(name: str) -> None:
    with pytest.raises(ForetellError, match=r"model is .*load_model\(name, splits\)"):
        score(name, (X, Y))  # type: ignore[arg-type]
    for models in ([net(), name], {"a": net(), "b": name}):
        with pytest.raises(ForetellError, match=r"models\[.*load_model\(name, splits\)"):
            rank(models, (X, Y))  # type: ignore[arg-type]


def test_a_model_without_values_has_the_scores_of_its_shapes_alone() -> None:
    model = net().to("meta")
    assert score(model, (X, Y), ["params", "flops"])["params"].value == 80
    with pytest.raises(ForetellError, match=r"meta device, .* build it on the CPU"):
        score(model, (X, Y), ["params", "snip"])


def test_a_model_of_two_types_says_so_where_it_does_not_run() -> None:
    mixed = nn.Sequential(nn.Linear(3, 5).half(), nn.Linear(5, 10))
    with pytest.raises(ForetellError, match="its parameters are float16 and float32"):
        score(mixed, (X, Y), "snip")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_any_one_type_is_scored(kind: torch.dtype) -> None:
    found = score(net().to(kind), (X.numpy(), Y.numpy()), ["snip", "synflow", "params"])
    assert all(one.why is None for one in found.values())
