"""A subset of a space is itself a space."""

import random

import pytest

from foretell.errors import ForetellError
from foretell.searchers import distinct
from foretell.spaces import (
    NASBench201,
    Subset,
    enumerate_space,
    mutate,
    neighbours,
    sample,
    size,
)

SPACE = NASBench201()
DRAWN = random.Random(0)
FEW = Subset(SPACE, list(dict.fromkeys(sample(SPACE, DRAWN) for _ in range(60))), edits=5)


def test_samples_and_mutants_are_in_the_subset() -> None:
    rng = random.Random(1)
    arch = sample(FEW, rng)
    for _ in range(200):
        assert FEW.is_valid(arch)
        arch = mutate(FEW, arch, rng)
    assert size(FEW) == len(FEW.archs) == len(list(enumerate_space(FEW)))
    assert {arch for arch, _ in distinct(FEW, 0)} <= set(FEW.archs)


def test_neighbours_are_the_nearest() -> None:
    def distance(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        return sum(x != y for x, y in zip(a, b, strict=True))

    for arch in FEW.archs:
        near = list(neighbours(FEW, arch))
        others = [other for other in FEW.archs if other not in (*near, arch)]
        assert len(near) == len(set(near)) == 5
        assert arch not in near
        assert max(distance(arch, n) for n in near) <= min(distance(arch, o) for o in others)


def test_architectures_outside_the_subset_are_refused() -> None:
    outside = next(arch for arch in enumerate_space(SPACE) if arch not in FEW.archs)
    with pytest.raises(ForetellError, match="not an architecture of"):
        list(neighbours(FEW, outside))
    with pytest.raises(ForetellError, match="not among the"):
        FEW.parse(SPACE.format(outside))
    with pytest.raises(ForetellError, match="has 1 architectures and edits is 24; give at least 2"):
        Subset(SPACE, [outside])
    with pytest.raises(ForetellError, match="twice"):
        Subset(SPACE, [outside, outside])


def test_isomorphs_share_the_first_listed() -> None:
    first = SPACE.parse("440001")
    twin = next(
        a for a in enumerate_space(SPACE) if SPACE.canonical(a) == SPACE.canonical(first) != a
    )
    both = Subset(SPACE, [twin, first, SPACE.parse("111111")])
    assert both.canonical(first) == both.canonical(twin) == twin
