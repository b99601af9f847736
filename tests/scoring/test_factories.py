"""Which functions build a model, and which arguments they are called with."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from foretell import ForetellError, rank, score_many
from foretell.scoring.factories import builder

BATCH = (torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))


class ByWidth(nn.Linear):
    """A class that requires an argument other than the seed."""

    def __init__(self, width: int) -> None:
        super().__init__(2, width)


class BySeed(nn.Linear):
    """A class that draws its own weights from a seed."""

    def __init__(self, seed: int = 0, bias: bool = True) -> None:
        super().__init__(2, 3, bias)
        nn.init.normal_(self.weight, generator=torch.Generator().manual_seed(seed))


class Maker:
    """A callable object."""

    def __call__(self, seed: int) -> nn.Module:
        """A model."""
        return BySeed(seed)


def built(number: int, /) -> nn.Module:
    """A builder with a positional-only parameter that is not named `seed`."""
    return BySeed(number)


TAKE_THE_SEED: dict[str, Callable[..., nn.Module]] = {
    "one argument": lambda number: BySeed(number),
    "by place": built,
    "a default bound in a loop": lambda seed, wide=BySeed: wide(seed),
    "a default for the seed": lambda bias=True, seed=9: BySeed(seed, bias),
    "keyword only": lambda *, seed: BySeed(seed),
    "any others": lambda seed, *rest, **more: BySeed(seed),
    "partial": partial(lambda name, seed: BySeed(seed), "a"),
    "object": Maker(),
    "class": BySeed,
}
NEED_NONE: dict[str, Callable[..., nn.Module]] = {
    "none": lambda: BySeed(),
    "a default bound in a loop": lambda wide=BySeed: wide(),
    "class": partial(ByWidth, 3),
    "any": lambda *rest, **more: BySeed(),
}


@pytest.mark.parametrize("name", TAKE_THE_SEED)
def test_the_seed_is_passed(name: str) -> None:
    model = builder(TAKE_THE_SEED[name], [5, 6])(5)
    assert torch.equal(model.weight, BySeed(5).weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NEED_NONE)
def test_without_a_parameter_for_it_there_is_one_draw(name: str) -> None:
    assert isinstance(builder(NEED_NONE[name], [5])(5), nn.Linear)
    with pytest.raises(ForetellError, match="2 seeds were given for one network"):
        builder(NEED_NONE[name], [5, 6])


def test_a_built_model_is_itself() -> None:
    model = BySeed()
    assert builder(model, [7])(7) is model
    with pytest.raises(ForetellError, match="whose weights are already drawn"):
        builder(model, [7, 8])


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (ByWidth, "ByWidth requires the argument width; .* lambda seed: ByWidth"),
        (lambda width, depth: ByWidth(width), "requires the arguments width, depth; "),
        (lambda width, *, seed: ByWidth(width), "requires the argument width; "),
        (iter, "arguments of iter cannot be determined"),
    ],
)
def test_what_requires_something_else_is_refused_before_anything_is_scored(
    model: Any, named: str
) -> None:
    asked: list[int] = []

    def first(seed: int) -> nn.Module:
        asked.append(seed)
        return BySeed(seed)

    with pytest.raises(ForetellError, match=named):
        rank({"first": first, "second": model}, BATCH, ["params"])
    with pytest.raises(ForetellError, match=named):
        score_many(model, BATCH, ["params"])
    assert not asked


def test_an_iterators_models_are_taken_one_by_one() -> None:
    """Building them lazily keeps only one in memory."""
    order: list[str] = []

    def models() -> Any:
        for number in range(2):
            order.append(f"given {number}")
            yield BySeed(number)

    rank(models(), BATCH, ["params"], progress=lambda event: order.append(f"scored {event.name}"))
    assert order == ["given 0", "scored 0", "given 1", "scored 1"]
