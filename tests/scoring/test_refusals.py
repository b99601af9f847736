"""Bad requests are refused in one line that names what was given, and nothing is changed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import Batch, ForetellError, score
from foretell.proxies import PROXIES, register

IMAGES = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0])


def net(norm: bool = False) -> nn.Module:
    """A small classifier of three classes."""
    middle = nn.BatchNorm1d(5) if norm else nn.ReLU()
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


def leaves(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that ends the program."""
    raise SystemExit("no loss today")


def two_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss for each sample."""
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


REQUESTS: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown proxy": (lambda: score(net(), (IMAGES, LABELS), "snipp"), "did you mean 'snip'"),
    "unknown setting": (
        lambda: score(net(), (IMAGES, LABELS), {"jacob_cov": {"eps": 1}}),
        "no setting 'eps'; (did you mean|known:)",
    ),
    "no proxy": (lambda: score(net(), (IMAGES, LABELS), []), "proxies is empty"),
    "a class": (
        lambda: score(nn.Linear, (IMAGES, LABELS)),
        "is the class Linear; .*call the class",
    ),
    "a function": (lambda: score(len, (IMAGES, LABELS)), "expected a torch.nn.Module"),
    "wrong shape": (lambda: score(net(), (IMAGES[:, :1], LABELS)), "does not accept the batch"),
    "label too high": (lambda: score(net(), (IMAGES, LABELS + 1)), "label 3 is out of range"),
    "label negative": (lambda: score(net(), (IMAGES, LABELS - 1)), "label -1 is out of range"),
    "a list of views": (
        lambda: score(net(), Batch([IMAGES, IMAGES], LABELS)),
        "list of 2 for 4 targets, .*; use a tuple for tensors of all samples",
    ),
    "a mask without samples": (
        lambda: score(net(), Batch((IMAGES, torch.ones(6, 6)), LABELS)),
        r"numbers of samples: \[4, 6\]; repeat .* in the model as a buffer",
    ),
    "a time step": (
        lambda: score(net(), Batch((IMAGES, torch.tensor(3.0)), LABELS)),
        "scalar; .*; repeat .* in the model as a buffer",
    ),
    "an additive mask": (
        lambda: score(net(), Batch((IMAGES, torch.full((4, 4), -torch.inf)), LABELS)),
        "NaN or infinite; .*; store a mask .* in the model, as a buffer",
    ),
    "empty batch": (lambda: score(net(), (IMAGES[:0], LABELS[:0])), "the batch is empty"),
    "no pair": (lambda: score(net(), IMAGES), "expected a pair"),
    "numbers differ": (lambda: score(net(), (IMAGES, LABELS[:3])), "4 inputs but 3 targets"),
    "one for BatchNorm": (
        lambda: score(net(norm=True), (IMAGES[:1], LABELS[:1])),
        "BatchNorm needs at least two values.*batch_norm='frozen'",
    ),
    "nan": (lambda: score(net(), (with_one(torch.nan), LABELS)), "1 values that are NaN"),
    "infinite": (lambda: score(net(), (with_one(torch.inf), LABELS)), "NaN or infinite"),
    "no scalar": (
        lambda: score(net(), (IMAGES, LABELS), loss=two_losses),
        r"not float32 of shape \[4\]",
    ),
    "a loss that exits": (
        lambda: score(net(), (IMAGES, LABELS), loss=leaves),
        "the loss leaves cannot be computed .SystemExit: no loss today",
    ),
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
    "nested": (
        lambda: score(net(), (torch.nested.nested_tensor([*IMAGES], layout=torch.jagged), LABELS)),
        "an input is a nested tensor; give a padded one",
    ),
    "no tensor": (lambda: score(net(), Batch({}, LABELS)), "without a tensor"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_one_line_says_what_was_given_and_what_to_do(name: str) -> None:
    request, message = REQUESTS[name]
    with pytest.raises(ForetellError, match=message) as caught:
        request()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_loss_that_only_the_whole_batch_has_is_a_reason_for_the_halves_alone() -> None:
    """The other scores are computed."""

    def of_four(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs[[0, 3]], targets[[0, 3]])

    found = score(net(), (IMAGES, LABELS), ["snip", "zico", "synflow"], loss=of_four)
    assert [name for name, one in found.items() if one.why] == ["zico"]
    assert "on half of the batch (the loss " in str(found["zico"].why)


def test_what_a_proxy_raises_is_its_own_reason() -> None:
    """A mistake in a user's proxy becomes the reason of its score."""

    @register(source="a test")
    def mistaken(grads: dict[str, Tensor]) -> Tensor:
        """Look for a layer that does not exist."""
        return grads["stem.weight"].norm()

    try:
        found = score(net(), (IMAGES, LABELS), ["mistaken", "snip"])
    finally:
        del PROXIES["mistaken"]
    assert found["mistaken"].why == "the proxy raised KeyError: 'stem.weight'"
    assert found["snip"].why is None


class OfLengths(nn.Module):
    """Sequences of several lengths, as a nested tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        parts = [part[: 2 + place % 3] for place, part in enumerate(x)]
        nested = torch.nested.as_nested_tensor(parts, layout=torch.jagged)
        padded = torch.nested.to_padded_tensor(torch.relu(self.enter(nested)), 0.0)
        return self.classify(padded.sum(1))


def test_nested_tensors_are_the_reason_where_they_cannot_be_followed() -> None:
    names = [name for name in PROXIES if not name.startswith(("az_", "pr"))]
    found = score(OfLengths(), (IMAGES[:, 0], LABELS), names)
    defined = {"grad_norm", "snip", "plain", "l2_norm", "params", "layers", "jacob_cov"}
    assert not {name: found[name].why for name in defined if found[name].why}
    for name in found:
        if found[name].why and name != "epe_nas":
            assert "nested tensors" in str(found[name].why), (name, found[name].why)
    assert {"fisher", "near", "zen", "synflow", "flops"} <= {n for n in found if found[n].why}


def test_frozen_weights_are_no_weights() -> None:
    """Frozen weights are not trainable, so gradient scores are undefined and say so."""
    model = net()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = score(model, (IMAGES, LABELS), ["snip", "params"])
    assert found["snip"].why == "the model has no trainable weights that count"
    assert found["params"].value == 72 * 5 + 5 + 5 * 3 + 3
