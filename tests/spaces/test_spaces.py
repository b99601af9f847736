"""Laws that hold for every registered space."""

import itertools
import random
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from foretell.errors import ForetellError
from foretell.spaces import (
    DARTS,
    GPT,
    SPACES,
    Arch,
    AutoFormer,
    Choices,
    Json,
    NASBench101,
    NASBench201,
    NASBenchASR,
    NASBenchMacro,
    NASBenchNLP,
    NATSSize,
    SmallCNNs,
    Space,
    Subset,
    Tabular,
    TransNASMacro,
    TransNASMicro,
    Within,
    enumerate_space,
    make_space,
    mutate,
    neighbours,
    sample,
    size,
)
from foretell.testing import check_space

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
    """A simple twin of `neighbours`: try every option at every position, keep valid ones."""
    changed = {
        (*arch[:i], option, *arch[i + 1 :])
        for i, options in enumerate(space.choices)
        for option in range(len(options))
    }
    return {other for other in changed - {arch} if space.is_valid(other)}


OTHERS: dict[str, Space] = {
    "choices": Choices(
        lambda depth, width: nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)]),
        {"depth": [1, 2, 3], "width": [4, 8]},
        valid=lambda depth, width: depth * width < 20,
        same=lambda depth, width: {"depth": depth, "width": 4 if depth == 1 else width},
    ),
    "subset": Subset(NASBench201(), list(enumerate_space(NASBench201()))[::700]),
    "limited": Within(NASBench201(), lambda name, arch: arch.count(3), {"convolutions": 2}),
}
SMALL: dict[str, tuple[Space, Tensor]] = {
    "cnn": (SmallCNNs(in_channels=3), torch.ones(2, 3, 7, 7)),
    "nb201": (NASBench201(channels=4, cells=1), torch.ones(2, 3, 8, 8)),
    "nb101": (NASBench101(channels=4, stacks=2, modules=1), torch.ones(2, 3, 8, 8)),
    "macro": (NASBenchMacro(channels=4, features=8), torch.ones(2, 3, 16, 16)),
    "darts": (DARTS(channels=2, cells=3), torch.ones(2, 3, 8, 8)),
    "nats_sss": (NATSSize(), torch.ones(2, 3, 8, 8)),
    "tnb101_micro": (TransNASMicro(channels=4, blocks=1), torch.ones(2, 3, 32, 32)),
    "tnb101_macro": (TransNASMacro(channels=4, blocks=1), torch.ones(2, 3, 32, 32)),
    "nlp": (NASBenchNLP(vocabulary=20, embedding=6, hidden=8, layers=1), torch.ones(2, 5).long()),
    "autoformer": (AutoFormer(resolution=8, patch=4, shrink=16), torch.ones(2, 3, 8, 8)),
    "gpt": (GPT(vocabulary=20, unit=4), torch.ones(2, 5).long()),
    "tabular": (Tabular(classes=3, features=5), torch.arange(20.0).reshape(4, 5)),
    "asr": (NASBenchASR(groups=8), torch.ones(2, 40, 80)),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_registered_space_keeps_the_laws(name: str) -> None:
    check_space(make_space(name), samples=30)
    assert make_space(name).settings() == SPACES[name].defaults


@pytest.mark.parametrize("name", OTHERS)
def test_spaces_made_of_others_keep_the_laws(name: str) -> None:
    check_space(OTHERS[name])


@pytest.mark.parametrize("name", SPACES)
def test_networks_give_an_output_for_each_sample(name: str) -> None:
    space, batch = SMALL[name]
    assert space.name == name
    check_space(space, samples=3, batch=batch)


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


@pytest.mark.parametrize("name", SPACES)
def test_settings_are_accepted(name: str) -> None:
    changed = {
        setting: value + 1 if type(value) is int else value
        for setting, value in SPACES[name].defaults.items()
    }
    assert make_space(name, changed).settings() == changed
    some = dict(list(changed.items())[:1])
    assert make_space(name, some).settings() == {**SPACES[name].defaults, **some}


@pytest.mark.parametrize("name", SPACES)
def test_an_entry_has_a_summary_and_a_source(name: str) -> None:
    assert SPACES[name].summary.endswith(".")
    assert SPACES[name].source


def test_the_nearest_name_is_suggested_for_an_unknown_one() -> None:
    with pytest.raises(ForetellError, match="did you mean 'nb201'"):
        make_space("nb210")
    with pytest.raises(ForetellError, match="did you mean 'channels'"):
        make_space("nb201", {"channel": 8})


@dataclass(frozen=True)
class Restless:
    """Three letters, no two adjacent ones equal: a space with forbidden combinations."""

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


def test_a_space_without_valid_architectures_or_neighbours_raises() -> None:
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
