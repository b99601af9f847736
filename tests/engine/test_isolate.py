"""State of a module outside parameters and buffers is restored."""

import pytest
import torch
from torch import Tensor, nn

from foretell import ForetellError, score
from tests.support.portraits import portrait


class Keeper(nn.Module):
    """A module that writes to a list, a dict, a counter and a tensor whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.cache = [torch.zeros(3)]
        self.seen: dict[str, Tensor] = {}
        self.calls = 0
        self.plain = torch.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.calls += 1
        self.cache[0].add_(1)
        self.cache.append(x)
        self.seen["x"] = x
        self.plain += 1
        out: Tensor = self.layer(x)
        return out


def test_lists_dicts_counters_and_tensors_come_back() -> None:
    model = Keeper()
    cache, seen, plain, first = model.cache, model.seen, model.plain, model.cache[0]
    score(model, (torch.randn(4, 4), torch.tensor([0, 1, 2, 0])))
    assert model.calls == 0
    assert model.cache is cache
    assert len(cache) == 1
    assert cache[0] is first
    assert torch.equal(first, torch.zeros(3))
    assert model.seen is seen
    assert not seen
    assert model.plain is plain
    assert torch.equal(plain, torch.zeros(2))


class MakesLate(nn.Module):
    """A module that creates its classifier when it first sees the width of its features."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(4, 5), None

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        h = torch.relu(self.enter(x))
        if self.classify is None:
            self.classify = nn.Linear(h.shape[1], 3)
        out: Tensor = self.classify(h)
        return out


class MakesAnew(nn.Module):
    """A module that normalises its weight by replacing the parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.enter.weight = nn.Parameter(nn.functional.normalize(self.enter.weight.detach()))
        out: Tensor = self.enter(x)
        return out


BATCH = (torch.randn(4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize("proxy", ["snip", "synflow", "zico", "zen", "flops"])
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (MakesLate, "creates the parameter classify.weight while it runs; run one batch"),
        (MakesAnew, "replaces the parameter enter.weight while it runs"),
    ],
)
def test_weights_that_are_made_on_the_way_are_refused(
    build: type[nn.Module], message: str, proxy: str
) -> None:
    model = build()
    before = portrait(model)
    with pytest.raises(ForetellError, match=message):
        score(model, BATCH, proxy)
    assert portrait(model) == before


def test_weights_that_are_written_to_are_not_scored_in_parts() -> None:
    tokens = torch.randint(9, (4, 5), generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Embedding(9, 4, max_norm=0.5), nn.Flatten(), nn.Linear(20, 3))
    with pytest.raises(ForetellError, match=r"micro_batch.* writes to its own weights"):
        score(model, (tokens, BATCH[1]), "snip", micro_batch=2)
