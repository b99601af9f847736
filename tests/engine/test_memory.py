"""Out of memory: an error that says what would fit, never a changed score."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import ForetellError, score
from foretell.engine.memory import saved_bytes
from foretell.proxies import PROXIES


class Greedy(nn.Module):
    """A linear model that fails beyond a number of samples, as an allocator would."""

    def __init__(self, most: int, error: Exception, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.norm = norm or nn.Identity()
        self.most, self.error = most, error

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        if len(x) > self.most and x.device.type != "meta":
            raise self.error
        out: Tensor = self.norm(self.linear(x))
        return out


BATCH = (torch.randn(16, 4, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3)
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
]


@contextmanager
def refused(message: str) -> Iterator[None]:
    """A ForetellError of one line."""
    with pytest.raises(ForetellError, match=message) as caught:
        yield
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_message_names_a_micro_batch_that_fits_and_is_exact(error: Exception) -> None:
    torch.manual_seed(0)
    model = Greedy(5, error)
    with refused(r"out of memory at 16 samples .* micro_batch=4 fits and gives the same scores"):
        score(model, BATCH, ["snip", "grasp"])
    in_parts = score(model, BATCH, ["snip"], micro_batch=4)["snip"].value
    model.most = 100
    assert in_parts == pytest.approx(score(model, BATCH, ["snip"])["snip"].value, rel=1e-5)


def test_what_cannot_be_split_says_so() -> None:
    model = Greedy(5, ERRORS[0], nn.BatchNorm1d(3))
    with refused("a batch of 4 fits, but parts would not add up .*BatchNorm"):
        score(model, BATCH, ["snip"])


def test_nothing_fits() -> None:
    with refused("one sample does not fit either"):
        score(Greedy(0, ERRORS[0]), BATCH, ["snip"])


def test_other_errors_are_not_taken_for_it() -> None:
    with refused("does not accept the batch .*index out of bounds"):
        score(Greedy(5, RuntimeError("index out of bounds")), BATCH, ["snip"])


def test_saved_bytes_counts_each_activation_once() -> None:
    """Two layers: the input and the hidden units after ReLU are kept, 64 and 80 floats."""
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    images = torch.randn(16, 4)
    assert saved_bytes(lambda: net(images), net.parameters()) == 4 * (64 + 80)


SEEN: list[Any] = []
"""Not an attribute of the model, whose lists come back as they were."""


class Remembers(nn.Module):
    """Keeps a weak reference to every tensor between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.GELU()
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        for layer in self.body:
            x = layer(x)
            SEEN.append(weakref.ref(x))
        return self.head(x)


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_nothing_of_a_pass_outlives_it(micro_batch: int | None) -> None:
    """Hooks and tangents hold the graph that holds them: no garbage collector sees through it."""
    SEEN.clear()
    batch = (torch.randn(8, 3, 9, 9), torch.arange(8) % 3)
    more: dict[str, Any] = {"micro_batch": 4, "batch_norm": "frozen"} if micro_batch else {}
    score(Remembers(), batch, list(PROXIES), **more)
    gc.collect()
    assert len(SEEN) > 20
    assert not [reference for reference in SEEN if reference() is not None]
