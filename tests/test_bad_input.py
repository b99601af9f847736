"""Requests that cannot be carried out: one line that names what was given, and nothing changed."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from foretell import Batch, ForetellError, score
from foretell.proxies import PROXIES

IMAGES = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0])
BATCH = (IMAGES, LABELS)


def net(norm: bool = False) -> nn.Module:
    """A small classifier of three classes."""
    middle = nn.BatchNorm1d(5) if norm else nn.ReLU()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(72, 5), middle, nn.Linear(5, 3))


def with_one(value: float) -> Tensor:
    """The images with one pixel replaced."""
    images = IMAGES.clone()
    images[1, 0, 2, 3] = value
    return images


class Complex(nn.Module):
    """A complex parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.ones(3, 3, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        """Not reached."""
        raise AssertionError


class Complaining(nn.Module):
    """Says no at length and in many lines."""

    def forward(self, x: Tensor) -> Tensor:
        """Not reached."""
        raise RuntimeError("this\nwill not do " * 100)


class Returns(nn.Module):
    """Something made of a linear layer's output."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.change = nn.Linear(72, 3), change

    def forward(self, x: Tensor) -> Any:
        """Whatever it is."""
        return self.change(self.layer(x.flatten(1)))


def old_checkpoint(x: Tensor) -> Any:
    """The kind of checkpoint that supports backward() alone."""
    return checkpoint(torch.tanh, x, use_reentrant=True)


def two_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss for each sample."""
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


REQUESTS: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown proxy": (lambda: score(net(), (IMAGES, LABELS), "snipp"), "did you mean 'snip'"),
    "unknown setting": (
        lambda: score(net(), (IMAGES, LABELS), {"jacob_cov": {"eps": 1}}),
        "no setting 'eps'; it has: epsilon",
    ),
    "no proxy": (lambda: score(net(), (IMAGES, LABELS), []), "no proxy was asked for"),
    "a class": (lambda: score(nn.Linear, (IMAGES, LABELS)), "is a type, .*call it to make one"),
    "a function": (lambda: score(len, (IMAGES, LABELS)), "not a torch.nn.Module"),
    "wrong shape": (lambda: score(net(), (IMAGES[:, :1], LABELS)), "does not accept the batch"),
    "label too high": (lambda: score(net(), (IMAGES, LABELS + 1)), "label 3 is out of range"),
    "label negative": (lambda: score(net(), (IMAGES, LABELS - 1)), "label -1 is out of range"),
    "label negative beside one to ignore": (
        lambda: score(net(), (IMAGES, torch.tensor([0, -100, -5, 1]))),
        "label -5 is out of range",
    ),
    "labels in a column": (
        lambda: score(net(), (IMAGES, LABELS[:, None])),
        r"labels of shape \[4\], not \[4, 1\]",
    ),
    "labels that are real numbers": (
        lambda: score(net(), (IMAGES, torch.rand(4))),
        r"labels of shape \[4, 3\], not \[4\]",
    ),
    "no labels": (lambda: score(net(), (IMAGES, None)), "a tensor of labels, not NoneType"),
    "labels in a list": (lambda: score(net(), (IMAGES, [0, 1, 2, 0])), "not list"),
    "targets of another shape": (
        lambda: score(net(), (IMAGES, torch.rand(4, 2)), loss="mse"),
        r"shape \[4, 3\], not \[4, 2\]",
    ),
    "an array": (lambda: score(net(), (IMAGES.numpy(), LABELS)), "ndarray without a tensor"),
    "a single number": (lambda: score(net(), (torch.tensor(1.0), LABELS)), "a single number"),
    "a long complaint": (lambda: score(Complaining(), (IMAGES, LABELS)), "does not accept"),
    "no output": (lambda: score(Returns(lambda _: None), (IMAGES, LABELS)), "returned a NoneType"),
    "an output without classes": (
        lambda: score(Returns(lambda x: x.sum(1)), (IMAGES, LABELS)),
        r"logits \[N, classes\], not an output of shape \[4\]",
    ),
    "needed and overwritten": (
        lambda: score(Returns(lambda x: x.sigmoid().add_(1.0)), (IMAGES, LABELS)),
        "cannot be differentiated .*in place",
    ),
    "checkpointed, in the old way": (
        lambda: score(Returns(old_checkpoint), BATCH, "snip"),
        "checkpointing off",
    ),
    "checkpointed, for grasp": (
        lambda: score(Returns(lambda x: checkpoint(torch.tanh, x, use_reentrant=False)), BATCH),
        "checkpointing off",
    ),
    "empty batch": (lambda: score(net(), (IMAGES[:0], LABELS[:0])), "the batch is empty"),
    "no pair": (lambda: score(net(), IMAGES), "give a pair"),
    "numbers differ": (lambda: score(net(), (IMAGES, LABELS[:3])), "4 inputs but 3 targets"),
    "one for BatchNorm": (
        lambda: score(net(norm=True), (IMAGES[:1], LABELS[:1])),
        "BatchNorm needs at least two values.*batch_norm='frozen'",
    ),
    "nan": (lambda: score(net(), (with_one(torch.nan), LABELS)), "1 values that are NaN"),
    "infinite": (lambda: score(net(), (with_one(torch.inf), LABELS)), "NaN or infinite"),
    "minus infinite": (lambda: score(net(), (with_one(-torch.inf), LABELS)), "NaN or infinite"),
    "a loss that is no tensor": (
        lambda: score(net(), (IMAGES, LABELS), loss=lambda *_: 1.0),
        "a scalar tensor, not float",
    ),
    "a list of losses": (lambda: score(net(), (IMAGES, LABELS), loss=["mse"]), "no loss is called"),
    "no proxies": (lambda: score(net(), (IMAGES, LABELS), None), "proxies is None"),
    "settings that are none": (
        lambda: score(net(), (IMAGES, LABELS), {"jacob_cov": 3}),
        "settings of jacob_cov are 3",
    ),
    "a fraction of a sample": (
        lambda: score(net(), (IMAGES, LABELS), micro_batch=1.5),
        "micro_batch is 1.5",
    ),
    "micro_batch in words": (
        lambda: score(net(), (IMAGES, LABELS), micro_batch="two"),
        "micro_batch is 'two'",
    ),
    "no scalar": (lambda: score(net(), (IMAGES, LABELS), loss=two_losses), r"not shape \[4\]"),
    "unknown loss": (lambda: score(net(), (IMAGES, LABELS), loss="ce"), "no loss is called 'ce'"),
    "layers": (lambda: score(net(), (IMAGES, LABELS), layers="most"), "layers is 'most'"),
    "batch_norm": (
        lambda: score(net(), (IMAGES, LABELS), batch_norm="none"),
        "batch_norm is 'none'",
    ),
    "frozen without statistics": (
        lambda: score(
            nn.Sequential(nn.Flatten(), nn.BatchNorm1d(72, track_running_stats=False)),
            (IMAGES, LABELS),
            batch_norm="frozen",
        ),
        "keeps none",
    ),
    "micro_batch": (lambda: score(net(), (IMAGES, LABELS), micro_batch=0), "micro_batch is 0"),
    "lazy": (
        lambda: score(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), (IMAGES, LABELS)),
        "no shape yet; run one batch",
    ),
    "complex": (lambda: score(Complex(), (IMAGES, LABELS)), "complex parameters"),
    "no tensor": (lambda: score(net(), Batch({}, LABELS)), "without a tensor"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_one_line_says_what_was_given_and_what_to_do(name: str) -> None:
    request, message = REQUESTS[name]
    with pytest.raises(ForetellError, match=message) as caught:
        request()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_quantised_weights_are_no_weights() -> None:
    """What holds no trainable weight has no gradient score, and says so."""
    model = net()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = score(model, (IMAGES, LABELS), ["snip", "params"])
    assert found["snip"].why == "the model has no trainable weights that count"
    assert found["params"].value == 72 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.int64])
def test_any_kind_of_integer_is_a_label(dtype: torch.dtype) -> None:
    model = net()
    expected = score(model, (IMAGES, LABELS), "snip")["snip"].value
    assert score(model, (IMAGES, LABELS.to(dtype)), "snip")["snip"].value == expected


def test_binary_targets_may_be_integers() -> None:
    model, targets = net(), torch.ones(4, 3)
    expected = score(model, (IMAGES, targets), "snip", loss="bce_with_logits")["snip"].value
    given = (IMAGES, targets.long())
    assert score(model, given, "snip", loss="bce_with_logits")["snip"].value == expected


@pytest.mark.parametrize("factor", [torch.nan, torch.inf, 1e30, 1e-200], ids=str)
def test_weights_out_of_all_bounds_are_nan_with_a_reason_or_a_number(factor: float) -> None:
    """Never an error: other models of the same run are waiting."""
    model = net().double() if factor == 1e-200 else net()
    with torch.no_grad():
        model[1].weight.mul_(factor)
        model[3].weight.mul_(factor)
    labels = torch.tensor([0, 1, 0, 1])
    for one in score(model, (IMAGES, labels), list(PROXIES)).values():
        assert (one.why is None) == math.isfinite(one.value)


def test_a_correlation_does_not_depend_on_the_size_of_the_gradients() -> None:
    model = net().double()
    expected = score(model, (IMAGES, LABELS), "jacob_cov")["jacob_cov"].value
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e-120)
    found = score(model, (IMAGES, LABELS), "jacob_cov")["jacob_cov"].value
    assert math.isfinite(expected)
    assert found == pytest.approx(expected, rel=1e-9)
