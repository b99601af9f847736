"""The interface of architecture spaces, and the functions that work with all of them.

An architecture is a tuple of small integers: the one at position i is an index into the options
`space.choices[i]`. A space names the options, builds networks and recognises isomorphic
architectures; sampling, mutation and neighbours are implemented here for all spaces.
"""

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

from torch import nn

from foretell.batch import Batch
from foretell.errors import ForetellError

__all__ = [
    "Arch",
    "Coded",
    "Fits",
    "Json",
    "Listed",
    "Sourced",
    "Space",
    "enumerate_space",
    "is_chosen",
    "mutate",
    "neighbours",
    "require_valid",
    "sample",
    "size",
    "step",
]

Arch: TypeAlias = tuple[int, ...]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_SAMPLE_ATTEMPTS = 100_000


class Space(Protocol):
    """A finite set of architectures that can be built."""

    @property
    def name(self) -> str:
        """The registered name, a key of `foretell.spaces.SPACES`."""

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The options at each position of an architecture."""

    def is_valid(self, arch: Arch) -> bool:
        """Whether `arch` is in the space; some spaces forbid certain combinations of options."""

    def canonical(self, arch: Arch) -> Arch:
        """The representative of the class of architectures that are isomorphic to `arch`."""

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network; its weights depend on the seed and not on any global state."""

    def parse(self, text: str) -> Arch:
        """The architecture that `text` describes; raises ForetellError if there is none."""

    def format(self, arch: Arch) -> str:
        """The text of `arch`, from which `parse` returns `arch`."""

    def settings(self) -> dict[str, Json]:
        """The settings to rebuild this space with: `make_space(space.name, space.settings())`."""


@runtime_checkable
class Fits(Protocol):
    """A space whose networks need the batch in a form that depends on the architecture."""

    def fit(self, arch: Arch, batch: Batch) -> Batch:
        """Convert the batch to the form that the network of this architecture expects."""


@runtime_checkable
class Coded(Protocol):
    """A space that is defined by functions of the user."""

    def code(self) -> Sequence[object]:
        """The functions that define the space; None is ignored."""


@runtime_checkable
class Sourced(Protocol):
    """A space whose networks are built by code of different origins."""

    def source(self, arch: Arch) -> str:
        """The digest of the user's code that builds this network; empty if it is not the user's."""


@runtime_checkable
class Listed(Protocol):
    """A space with an explicit list of its architectures, such as those of a table."""

    def listed(self) -> Sequence[Arch]:
        """Every architecture once."""

    def near(self, arch: Arch) -> Iterable[Arch]:
        """The architectures that count as neighbours of `arch`, each once, without `arch`."""


def _is_listed(space: Space) -> TypeGuard[Listed]:
    """Like `isinstance(space, Listed)`, in a tenth of the time."""
    return hasattr(type(space), "listed")


def size(space: Space) -> int:
    """The number of tuples that the choices allow, including those that `is_valid` rejects.

    For a listed space, the length of the list.
    """
    if _is_listed(space):
        return len(space.listed())
    return math.prod(len(options) for options in space.choices)


def enumerate_space(space: Space) -> Iterator[Arch]:
    """Yield every valid architecture once, in ascending order."""
    if _is_listed(space):
        return iter(sorted(space.listed()))
    positions = (range(len(options)) for options in space.choices)
    return (arch for arch in itertools.product(*positions) if space.is_valid(arch))


def sample(space: Space, rng: random.Random) -> Arch:
    """Draw a valid architecture uniformly at random.

    Raises ForetellError if the space has (nearly) no valid architecture.
    """
    if _is_listed(space):
        return rng.choice(space.listed())
    for _ in range(_SAMPLE_ATTEMPTS):
        arch = tuple(rng.randrange(len(options)) for options in space.choices)
        if space.is_valid(arch):
            return arch
    raise ForetellError(
        f"none of {_SAMPLE_ATTEMPTS} random architectures of {space.name} was valid; "
        f"relax is_valid or restrict the choices"
    )


def neighbours(space: Space, arch: Arch) -> Iterator[Arch]:
    """All valid architectures that differ from `arch` at exactly one position.

    For a listed space, the architectures that its `near` returns. Raises ForetellError if `arch`
    itself is not in the space.
    """
    require_valid(space, arch)
    if _is_listed(space):
        yield from space.near(arch)
        return
    for position, options in enumerate(space.choices):
        for option in range(len(options)):
            other = (*arch[:position], option, *arch[position + 1 :])
            if option != arch[position] and space.is_valid(other):
                yield other


def mutate(space: Space, arch: Arch, rng: random.Random) -> Arch:
    """Draw one of the neighbours of `arch` uniformly at random.

    Raises ForetellError if `arch` is not in the space or has no neighbour.
    """
    candidates = list(neighbours(space, arch))
    if not candidates:
        raise ForetellError(
            f"{space.format(arch)} has no valid neighbour in {space.name}; sample a new one"
        )
    return rng.choice(candidates)


def step(space: Space, arch: Arch, rng: random.Random) -> Arch:
    """Draw a random neighbour of `arch`, or return `arch` itself if it has none.

    Unlike `mutate`, it checks neighbours only until one is valid, which is faster if `is_valid` is
    expensive.
    """
    if _is_listed(space):
        return rng.choice(list(space.near(arch)))
    edits = [
        (*arch[:position], option, *arch[position + 1 :])
        for position, options in enumerate(space.choices)
        for option in range(len(options))
        if option != arch[position]
    ]
    rng.shuffle(edits)
    return next((edit for edit in edits if space.is_valid(edit)), arch)


def is_chosen(choices: Sequence[Sequence[object]], arch: Arch) -> bool:
    """Whether `arch` is a tuple that contains the index of an option for each choice.

    >>> is_chosen((("a", "b"), ("c",)), (1, 0)), is_chosen((("a", "b"), ("c",)), (0, 1))
    (True, False)
    """
    if not isinstance(arch, tuple) or len(arch) != len(choices):
        return False
    for option, options in zip(arch, choices, strict=True):  # a loop takes half the time of `all`
        if type(option) is not int or not 0 <= option < len(options):
            return False
    return True


def require_valid(space: Space, arch: Arch) -> None:
    """Raise ForetellError unless `arch` is in the space."""
    if not space.is_valid(arch):
        limits = ", ".join(f"0..{len(options) - 1}" for options in space.choices)
        raise ForetellError(
            f"{arch!r} is not an architecture of {space.name}; expected a valid tuple of "
            f"{len(space.choices)} integers within ({limits})"
        )
