"""`check_space` accepts a valid space, and names each requirement that is not met."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell.errors import ForetellError
from foretell.spaces import Arch, Graph, Json, require_valid
from foretell.testing import check_space


class Widths:
    """Two layers with one of three widths each, the second no wider than the first."""

    name = "widths"
    choices: Any = (("2", "3", "4"),) * 2

    def is_valid(self, arch: Arch) -> bool:
        sizes = [len(options) for options in self.choices]
        return (
            len(arch) == len(sizes)
            and all(0 <= option < size for option, size in zip(arch, sizes, strict=True))
            and arch[0] >= arch[1]
        )

    def canonical(self, arch: Arch) -> Arch:
        require_valid(self, arch)
        return arch

    def build(self, arch: Arch, seed: int) -> nn.Module:
        require_valid(self, arch)
        first, second = (option + 2 for option in arch)
        model = nn.Sequential(nn.utils.skip_init(nn.Linear, 3, first), nn.ReLU())
        model.append(nn.utils.skip_init(nn.Linear, first, second))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.uniform_(-1, 1, generator=generator)
        return model

    def parse(self, text: str) -> Arch:
        if not text.isdigit():
            raise ForetellError(f"{text!r} is not two digits")
        arch = tuple(map(int, text))
        require_valid(self, arch)
        return arch

    def format(self, arch: Arch) -> str:
        require_valid(self, arch)
        return "".join(map(str, arch))

    def settings(self) -> dict[str, Json]:
        return {}


BATCH = torch.ones(4, 3)


def test_a_space_that_keeps_the_laws_passes() -> None:
    check_space(Widths(), batch=BATCH)


def filled(value: float) -> Callable[[Any, Arch, int], nn.Module]:
    """A `build` that sets all weights to one value."""

    def build(self: Widths, arch: Arch, seed: int) -> nn.Module:
        model = Widths.build(self, arch, seed)
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
        return model

    return build


def drawn_by_torch(self: Widths, arch: Arch, seed: int) -> nn.Module:
    """Draw weights from the global generator, whatever the seed."""
    require_valid(self, arch)
    return nn.Linear(3, arch[0] + 2)


def seeded_globally(self: Widths, arch: Arch, seed: int) -> nn.Module:
    """Draw the right weights, but change the global generator."""
    torch.manual_seed(seed)
    return drawn_by_torch(self, arch, seed)


def other_layers(self: Widths, arch: Arch, seed: int) -> nn.Module:
    """Build as many layers as networks were built before."""
    built = self.__dict__.setdefault("built", [])
    built.append(1)
    return nn.Sequential(*(Widths.build(self, arch, seed) for _ in built))


class Summed(nn.Module):
    """A module that returns one number for the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(0, keepdim=True)


class Fixed(nn.Module):
    """A module with a parameter that its output does not depend on."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.full((2,), float(seed)))

    def forward(self, x: Tensor) -> Tensor:
        return x


def draws(self: Widths, arch: Arch) -> bool:
    """Return the right validity, but draw a random number."""
    random.random()
    return Widths.is_valid(self, arch)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"name": ""}, "the name is empty"),
    "name of a number": ({"name": 3}, "the name is 3, not a string"),
    "no positions": ({"choices": ()}, "choices is empty"),
    "choices of a list": ({"choices": [("a",)] * 2}, "choices is not a tuple"),
    "no options": ({"choices": (("a", "b", "c"), ())}, "no options at position 1"),
    "options of a list": ({"choices": (["a"], ["b"])}, "options at position 0 are not a tuple"),
    "numbers as options": ({"choices": ((2, 3, 4),) * 2}, "at position 0 are not all strings"),
    "settings": ({"settings": lambda _: {"size": (1, 2)}}, "settings change when they are written"),
    "nothing valid": ({"is_valid": lambda *_: False}, "no valid architecture"),
    "text of several lines": ({"format": lambda *_: "0\n0"}, "has several lines"),
    "no text": ({"format": lambda _, arch: arch}, "not a string"),
    "another text": ({"format": lambda *_: "00"}, r"parse\('00'\) gives \(0, 0\), but the"),
    "canonical that is not valid": ({"canonical": lambda *_: (0, 2)}, "is not valid"),
    "canonical that goes round": (
        {"canonical": lambda _, arch: ((arch[0] + 1) % 3, 0)},
        "; expected the same",
    ),
    "accepts anything": ({"is_valid": lambda *_: True}, "is_valid accepts"),
    "canonical of anything": ({"canonical": lambda _, arch: arch}, r"canonical\(.*does not raise"),
    "format of anything": ({"format": lambda _, a: "".join(map(str, a))}, r"format\(.*not raise"),
    "build of anything": (
        {"build": lambda *_: nn.Linear(1, 1)},
        r"build\(.* does not raise ForetellError",
    ),
    "parse that fails otherwise": (
        {"parse": lambda _, text: tuple(map(int, text))},
        r"parse\('no arch.* does not raise ForetellError",
    ),
    "no network": ({"build": lambda s, a, _: require_valid(s, a)}, "a NoneType, not a module"),
    "evaluation": ({"build": lambda *a: Widths.build(*a).eval()}, "in evaluation mode"),
    "global weights": ({"build": drawn_by_torch}, r"twice with seed 0 gives different weights"),
    "seeding for all": ({"build": seeded_globally}, "changed a global random number generator"),
    "drawing": ({"is_valid": draws}, "changed a global random number generator"),
    "other parameters": ({"build": other_layers}, "gives different parameters"),
    "nan": ({"build": filled(float("nan"))}, "0.weight of .* is not finite"),
    "infinite": ({"build": filled(float("inf"))}, "is not finite"),
    "the same for all seeds": ({"build": filled(1.0)}, "another seed gives the same weights"),
    "outputs": (
        {"build": lambda *a: nn.Sequential(Widths.build(*a), Summed())},
        "gives 1 outputs for 4 samples",
    ),
    "infinite outputs": (
        {"build": lambda *a: nn.Sequential(Widths.build(*a), nn.Threshold(9, float("inf")))},
        "an output of .* is not finite",
    ),
    "weights without use": (
        {"build": lambda s, a, seed: require_valid(s, a) or Fixed(seed)},
        "do not depend on its weights",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_law_is_named(name: str) -> None:
    members, said = BROKEN[name]
    state = torch.get_rng_state()
    with pytest.raises(AssertionError, match=said):
        check_space(type("Broken", (Widths,), members)(), batch=BATCH)
    torch.set_rng_state(state)


class Few(Widths):
    """Three of the architectures, all neighbours of each other."""

    def listed(self) -> Sequence[Arch]:
        return [(0, 0), (1, 0), (2, 1)]

    def near(self, arch: Arch) -> Iterable[Arch]:
        return [other for other in self.listed() if other != arch]

    def is_valid(self, arch: Arch) -> bool:
        return arch in Few.listed(self)


def test_a_space_that_is_listed_passes() -> None:
    check_space(Few(), batch=BATCH)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"listed": lambda _: [(0, 0), (0, 0), (1, 0), (2, 1)]}, "twice or out of order"),
        ({"listed": lambda _: [(0, 0), (1, 0), (2, 2)]}, "is_valid rejects what is listed"),
        ({"near": lambda self, arch: self.listed()}, "is its own neighbour"),
        ({"near": lambda *_: [(0, 0), (0, 0)]}, "a neighbour of .* occurs twice"),
        ({"near": lambda *_: [(1, 1)]}, "a neighbour of .* is not valid"),
        (
            {"listed": lambda _: [(0, 0), (1, 0)], "near": lambda *_: [(2, 1)]},
            r"a neighbour of \(., 0\) is not listed",
        ),
    ],
)
def test_a_broken_law_of_listed_spaces_is_named(members: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_space(type("Broken", (Few,), members)())


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ((("a", "b"), ((0, 1), (1, 0))), "does not lead to a later node"),
        ((("a", "b"), ((0, 2),)), "does not lead to a later node"),
        (((0, 1), ()), "a node's label is not a string"),
    ],
)
def test_a_broken_law_of_graphs_is_named(graph: Graph, said: str) -> None:
    class Drawn(Widths):
        def graph(self, arch: Arch) -> Graph:
            return graph

    with pytest.raises(AssertionError, match=said):
        check_space(Drawn())


def test_a_registered_space_is_rebuilt_by_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from foretell.spaces import SPACES, NASBench201

    class Forgetful(NASBench201):
        """A space whose settings lack the number of channels."""

        def settings(self) -> dict[str, Json]:
            return {"cells": self.cells}

    entry = type(SPACES["nb201"])(Forgetful, "here", "333333")
    monkeypatch.setitem(SPACES, "nb201", entry)
    with pytest.raises(AssertionError, match="gives a different space"):
        check_space(Forgetful(channels=3), samples=1)
