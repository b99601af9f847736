"""Laws of every registered space."""

import itertools
import json
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from foretell.errors import ForetellError
from foretell.spaces import (
    SPACES,
    Arch,
    Json,
    Space,
    enumerate_space,
    make_space,
    mutate,
    neighbours,
    sample,
    size,
)

spaces = st.sampled_from(sorted(SPACES)).map(make_space)
seeds = st.integers(0, 2**32)
untimed = settings(deadline=None)


@st.composite
def spaces_and_archs(draw: st.DrawFn) -> tuple[Space, Arch]:
    space = draw(spaces)
    return space, sample(space, random.Random(draw(seeds)))


def distance(one: Arch, other: Arch) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def all_one_step_away(space: Space, arch: Arch) -> set[Arch]:
    """Dull twin of `neighbours`: change every position to everything, keep what is valid."""
    changed = {
        (*arch[:i], option, *arch[i + 1 :])
        for i, options in enumerate(space.choices)
        for option in range(len(options))
    }
    return {other for other in changed - {arch} if space.is_valid(other)}


@untimed
@given(spaces, seeds)
def test_a_sample_is_valid_and_depends_on_the_rng_alone(space: Space, seed: int) -> None:
    arch = sample(space, random.Random(seed))
    assert space.is_valid(arch)
    assert arch == sample(space, random.Random(seed))


@pytest.mark.parametrize("name", SPACES)
def test_sampling_reaches_every_option(name: str) -> None:
    space, rng = make_space(name), random.Random(0)
    drawn = [sample(space, rng) for _ in range(500)]
    for options, seen in zip(space.choices, zip(*drawn, strict=True), strict=True):
        assert set(seen) == set(range(len(options)))


@untimed
@given(spaces_and_archs(), seeds)
def test_a_mutation_changes_one_position(pair: tuple[Space, Arch], seed: int) -> None:
    space, arch = pair
    mutant = mutate(space, arch, random.Random(seed))
    assert space.is_valid(mutant)
    assert distance(arch, mutant) == 1
    assert mutant == mutate(space, arch, random.Random(seed))


@untimed
@given(spaces_and_archs())
def test_neighbours_are_all_valid_archs_one_step_away(pair: tuple[Space, Arch]) -> None:
    space, arch = pair
    found = list(neighbours(space, arch))
    assert len(found) == len(set(found))
    assert set(found) == all_one_step_away(space, arch)


@untimed
@given(spaces_and_archs())
def test_canonical_is_valid_and_its_own_canonical(pair: tuple[Space, Arch]) -> None:
    space, arch = pair
    canonical = space.canonical(arch)
    assert space.is_valid(canonical)
    assert space.canonical(canonical) == canonical


@untimed
@given(spaces_and_archs())
def test_text_round_trip(pair: tuple[Space, Arch]) -> None:
    space, arch = pair
    assert space.parse(space.format(arch)) == arch


@pytest.mark.parametrize("name", SPACES)
def test_enumeration_is_ascending_valid_and_within_size(name: str) -> None:
    space = make_space(name)
    first = list(itertools.islice(enumerate_space(space), 1000))
    assert first == sorted(set(first))
    assert all(space.is_valid(arch) for arch in first)
    assert len(first) <= size(space)


@settings(max_examples=15, deadline=None)
@given(spaces_and_archs(), seeds)
def test_a_build_depends_on_the_seed_alone(pair: tuple[Space, Arch], seed: int) -> None:
    space, arch = pair
    one, same, other = (space.build(arch, s).state_dict() for s in (seed, seed, seed + 1))
    assert list(one) == list(same) == list(other)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert all(torch.isfinite(value).all() for value in one.values())


def global_randomness() -> tuple[Any, ...]:
    state = np.random.get_state()
    return random.getstate(), state[1].tolist(), state[2], torch.get_rng_state().tolist()


@pytest.mark.parametrize("name", SPACES)
def test_nothing_global_is_drawn(name: str) -> None:
    space, rng = make_space(name), random.Random(0)
    before = global_randomness()
    arch = mutate(space, sample(space, rng), rng)
    space.build(space.canonical(space.parse(space.format(arch))), seed=0)
    assert global_randomness() == before


@pytest.mark.parametrize("name", SPACES)
def test_settings_rebuild_the_space(name: str) -> None:
    space = make_space(name)
    assert space.name == name
    again = make_space(space.name, json.loads(json.dumps(space.settings())))
    assert again == space
    assert again.settings() == space.settings() == SPACES[name].defaults


@pytest.mark.parametrize("name", SPACES)
def test_settings_are_taken(name: str) -> None:
    changed = {
        setting: value + 1 if type(value) is int else value
        for setting, value in SPACES[name].defaults.items()
    }
    assert make_space(name, changed).settings() == changed
    some = dict(list(changed.items())[:1])
    assert make_space(name, some).settings() == {**SPACES[name].defaults, **some}


@pytest.mark.parametrize("name", SPACES)
def test_an_entry_says_what_it_is(name: str) -> None:
    assert SPACES[name].summary.endswith(".")
    assert SPACES[name].source


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(
    "change", [lambda a: a[:-1], lambda a: (*a, 0), lambda a: (99, *a[1:]), list]
)
def test_what_is_no_architecture_is_refused(name: str, change: Any) -> None:
    space = make_space(name)
    wrong = change(sample(space, random.Random(0)))
    assert not space.is_valid(wrong)
    for use in (space.format, space.canonical, lambda a: space.build(a, 0)):
        with pytest.raises(ForetellError, match="is not an architecture of"):
            use(wrong)
    with pytest.raises(ForetellError, match="is not an architecture of"):
        next(neighbours(space, wrong))


def test_unknown_names_are_met_with_the_nearest() -> None:
    with pytest.raises(ForetellError, match="did you mean 'nb201'"):
        make_space("nb210")
    with pytest.raises(ForetellError, match="did you mean 'channels'"):
        make_space("nb201", {"channel": 8})


@dataclass(frozen=True)
class Restless:
    """Three digits of which no two in a row are equal: a space with forbidden combinations."""

    letters: int = 3
    name: str = "restless"

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        return (tuple("abcdefg"[: self.letters]),) * 3

    def is_valid(self, arch: Arch) -> bool:
        return all(a != b for a, b in itertools.pairwise(arch))

    def canonical(self, arch: Arch) -> Arch:
        return arch

    def build(self, arch: Arch, seed: int) -> nn.Module:
        raise NotImplementedError

    def parse(self, text: str) -> Arch:
        return tuple(int(digit) for digit in text)

    def format(self, arch: Arch) -> str:
        return "".join(str(digit) for digit in arch)

    def settings(self) -> dict[str, Json]:
        return {"letters": self.letters}


def test_forbidden_combinations_are_left_out() -> None:
    space, rng = Restless(), random.Random(0)
    everything = set(enumerate_space(space))
    assert len(everything) == 3 * 2 * 2
    assert size(space) == 27
    assert {sample(space, rng) for _ in range(300)} == everything
    for arch in everything:
        assert set(neighbours(space, arch)) == all_one_step_away(space, arch)
        assert {mutate(space, arch, rng) for _ in range(50)} == all_one_step_away(space, arch)


def test_a_space_without_a_way_out_says_so() -> None:
    with pytest.raises(ForetellError, match="none of 100000 random architectures"):
        sample(Restless(letters=1), random.Random(0))
    with pytest.raises(ForetellError, match="010 has no valid neighbour"):
        mutate(Restless(letters=2), (0, 1, 0), random.Random(0))


def test_mutation_is_uniform_over_the_neighbours() -> None:
    space, rng = make_space("nb201"), random.Random(0)
    arch = (0,) * 6
    drawn = [mutate(space, arch, rng) for _ in range(24 * 200)]
    counts = [drawn.count(other) for other in neighbours(space, arch)]
    assert len(counts) == 24
    assert min(counts) > 140  # 200 expected, standard deviation 14
    assert max(counts) < 260
