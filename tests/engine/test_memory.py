"""If memory runs out, the error names what would fit, and no score changes."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import ForetellError, Score, explain, rank, score, score_many
from foretell.data import Splits
from foretell.engine.memory import saved_bytes
from foretell.errors import OutOfMemory
from foretell.proxies import PROXIES
from foretell.training.settings import TrainSettings
from foretell.training.train import train


class Greedy(nn.Module):
    """A linear model that fails above a number of samples, like an allocator."""

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
def refused(message: str, micro_batch: int | None = None) -> Iterator[None]:
    """A one-line OutOfMemory with the micro-batch that fits, which keeps no tensors alive."""
    with pytest.raises(OutOfMemory, match=message) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert caught.value.micro_batch == micro_batch
    assert caught.value.__context__ is None


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_message_names_a_micro_batch_that_fits_and_is_exact(error: Exception) -> None:
    torch.manual_seed(0)
    model = Greedy(5, error)
    said = r"out of memory at 16 samples .* micro_batch=4 fits and gives the same scores"
    with refused(said, micro_batch=4):
        score(model, BATCH, ["snip", "grasp"])
    in_parts = score(model, BATCH, ["snip"], micro_batch=4)["snip"].value
    model.most = 100
    assert in_parts == pytest.approx(score(model, BATCH, ["snip"])["snip"].value, rel=1e-5)


def test_nothing_fits() -> None:
    with refused("no smaller part of the batch can be run"):
        score(Greedy(0, ERRORS[0]), BATCH, ["snip"])


def by_the_sum(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that is not a mean over samples."""
    return nn.functional.cross_entropy(outputs, targets, reduction="sum")


class Drops(Greedy):
    """A model that also draws random numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return nn.functional.dropout(super().forward(x))


REFUSING: dict[str, tuple[nn.Module, list[str], dict[str, Any], str]] = {
    "batch statistics": (Greedy(5, ERRORS[0], nn.BatchNorm1d(3)), ["snip"], {}, "BatchNorm"),
    "a sum as loss": (Greedy(5, ERRORS[0]), ["snip"], {"loss": by_the_sum}, "not a mean"),
    "dropout": (Drops(5, ERRORS[0]), ["snip"], {}, "random numbers"),
    "zen": (Greedy(5, ERRORS[0], nn.BatchNorm1d(3)), ["zen"], {}, "BatchNorm"),
}


@pytest.mark.parametrize("name", REFUSING)
def test_a_micro_batch_is_never_advised_where_it_would_be_refused(name: str) -> None:
    model, proxies, how, why = REFUSING[name]
    with refused(f"a batch of 4 fits, but parts would not add up .*{why}"):
        score(model, BATCH, proxies, **how)
    with pytest.raises(ForetellError, match="micro_batch would change the scores"):
        score(model, BATCH, proxies, micro_batch=4, **how)


@pytest.mark.parametrize("proxy", [name for name in PROXIES if name not in ("params", "l2_norm")])
def test_what_is_advised_is_accepted(proxy: str) -> None:
    """This holds for any pass that does not fit, except those that run a single sample."""
    torch.manual_seed(0)
    model = Greedy(3, ERRORS[0], nn.ReLU())
    try:
        found = score(model, BATCH, proxy)[proxy]
    except OutOfMemory as error:
        advised = error.micro_batch
        found = score(model, BATCH, proxy, micro_batch=advised)[proxy]
    model.most = 100
    whole: Score = score(model, BATCH, proxy)[proxy]
    assert found.why == whole.why
    assert found.value == pytest.approx(whole.value, rel=1e-4, nan_ok=True)


class Hungry(Greedy):
    """A model that fails if its weights are replaced, in the passes with absolute weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        if x.device.type != "meta" and (self.linear.weight >= 0).all():
            raise self.error
        return super().forward(x)


def test_where_micro_batches_do_not_help_none_is_advised() -> None:
    """The scores are not undefined, since they exist with more memory."""
    torch.manual_seed(0)
    with refused("out of memory when the model is run with absolute weights .* more memory"):
        score(Hungry(100, ERRORS[1]), BATCH, ["synflow"])


def test_a_proxys_own_sum_may_be_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(grads: dict[str, Tensor]) -> Tensor:
        raise ERRORS[0]

    snip = PROXIES["snip"]
    monkeypatch.setitem(PROXIES, "snip", replace(snip, function=greedy))
    with refused("outside the passes, while storing results of all samples of the batch; give"):
        score(Greedy(100, ERRORS[0]), BATCH, ["snip"])


def test_explain_raises_the_same() -> None:
    class ReadsValues(Greedy):
        def forward(self, x: Tensor) -> Tensor:
            """Logits."""
            if x.device.type == "meta":
                raise NotImplementedError("values")
            return super().forward(x)

    with refused("out of memory"):
        explain(["snip"], ReadsValues(0, ERRORS[0]), BATCH)


def test_every_door_says_the_same() -> None:
    said, model = r"micro_batch=4 fits", Greedy(5, ERRORS[0])
    with refused(said, micro_batch=4):
        score_many(model, BATCH, ["snip"])
    assert said in rank([model], BATCH, ["snip"])["why"].iloc[0]


def test_a_training_is_not_advised_a_micro_batch() -> None:
    """A training has no micro-batches, and another batch size would be another training."""
    part = (torch.randn(16, 4), torch.arange(16) % 3)
    splits = Splits("few", 3, part, part, part)
    with refused("out of memory while training with batch_size 16; use a smaller batch_size"):
        train(Greedy(5, ERRORS[0]), splits, TrainSettings(epochs=1, batch_size=16), 0)


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(ForetellError, match=r"does not accept the batch .*index out of bounds"):
        score(Greedy(5, RuntimeError("index out of bounds")), BATCH, ["snip"])


def test_saved_bytes_counts_each_activation_once() -> None:
    """For two layers, the input and the hidden units after ReLU are saved, 64 and 80 floats."""
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    images = torch.randn(16, 4)
    assert saved_bytes(lambda: net(images), net.parameters()) == 4 * (64 + 80)


SEEN = type(gc)("seen")
SEEN.references = []
"""Not a variable of this file or an attribute of the model, which are restored."""


class Remembers(nn.Module):
    """A module that keeps a weak reference to every tensor between its layers."""

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
            SEEN.references.append(weakref.ref(x))
        return self.head(x)


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_nothing_of_a_pass_outlives_it(micro_batch: int | None) -> None:
    """Hooks and tangents form reference cycles with the graph that no garbage collector finds."""
    SEEN.references.clear()
    batch = (torch.randn(8, 3, 9, 9), torch.arange(8) % 3)
    more: dict[str, Any] = {"micro_batch": 4, "batch_norm": "frozen"} if micro_batch else {}
    score(Remembers(), batch, list(PROXIES), **more)
    gc.collect()
    assert len(SEEN.references) > 20
    assert not [reference for reference in SEEN.references if reference() is not None]
