"""Spaces defined by users: named choices, and a function that builds a network from them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from foretell.checks import as_function, as_mapping, as_text, keep, optional, wrong
from foretell.errors import ForetellError, any_error, complaint_of, unknown_name
from foretell.seeds import derived_seed, own_randomness
from foretell.spaces.space import Arch, Json, Space, is_chosen, require_valid
from foretell.user_code import named_in_file, named_in_package

__all__ = ["Choices", "as_space", "own_space"]

MEMBERS = ("choices", "is_valid", "canonical", "build", "parse", "format", "settings")
"""The members by which a space is recognised."""


FORM = "a dict of the options of each choice, such as {'width': [16, 32]}"


@dataclass(frozen=True, eq=False)
class Choices:
    """A space defined by the options of each choice and a function that builds the networks.

    `make` is called with one option per choice as keyword arguments and returns an untrained
    network, which may be initialised by PyTorch's global generator: it is seeded for each
    architecture and seed. `valid`, called with the same arguments, returns whether the options may
    be combined. `same`, called with the same arguments, returns the options of the canonical form,
    which must be equal for all architectures that describe the same network; for example, it sets
    unused options to one value. Each network is then scored and trained only once. Rows are
    identified by the options and by a digest of the code of these functions: if it changes, the
    networks are scored and trained again.

    Raises ForetellError if there are no choices, or if the options of a choice are not different
    JSON values without commas and equals signs.

    >>> def build(width, depth):
    ...     layers = [nn.Linear(8, width), nn.ReLU()]
    ...     layers += [m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())]
    ...     return nn.Sequential(*layers, nn.Linear(width, 2))
    >>> space = Choices(build, {"width": [16, 32, 64], "depth": [1, 2]})
    >>> space.format((2, 0))
    'width=64,depth=1'
    >>> sum(p.numel() for p in space.build(space.parse("width=64,depth=1"), seed=0).parameters())
    4866
    """

    make: Callable[..., nn.Module]
    options: Mapping[str, Sequence[Json]]
    valid: Callable[..., bool] | None = None
    same: Callable[..., Mapping[str, Json]] | None = None
    name: str = "own"
    origin: str = ""
    """The `FILE.py:NAME` or `PACKAGE.MODULE:NAME` from which other processes load this object."""

    def __post_init__(self) -> None:
        as_function("make", self.make, "a function that builds a network from the options")
        as_mapping("options", self.options, FORM)
        for name in ("valid", "same"):
            optional(as_function)(name, getattr(self, name), "a function of the options")
        keep(self, "name", as_text)
        keep(self, "origin", as_text, empty=True)
        if not self.options:
            raise ForetellError(f"options is empty; expected {FORM}")
        for name, options in self.options.items():
            if not isinstance(options, Sequence) or isinstance(options, str | bytes):
                raise wrong(f"options[{name!r}]", options, "a list of options")
            if len(options) > MOST:
                raise ForetellError(
                    f"choice {name!r} has {len(options):,} options; give at most {MOST:,}"
                )
            texts = [written(option) for option in options]
            if not texts or len(set(texts)) < len(texts):
                raise ForetellError(
                    f"choice {name!r} has the options {list(options)}; "
                    "give at least one, and each once"
                )
            if any(option != option for option in options):  # nan
                raise ForetellError(f"choice {name!r} has the option nan; give None in its place")
            if any("," in text or "=" in text for text in [*texts, name]):
                raise ForetellError(
                    f"choice {name!r} contains a comma or an equals sign; leave them out"
                )

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The options at each position, as text."""
        return tuple(tuple(map(written, options)) for options in self.options.values())

    def chosen(self, arch: Arch) -> dict[str, Json]:
        """The options of an architecture by name."""
        names = self.options.items()
        return {name: options[i] for i, (name, options) in zip(arch, names, strict=True)}

    def is_valid(self, arch: Arch) -> bool:
        """Whether `arch` selects options that may be combined."""
        if not is_chosen([*self.options.values()], arch):
            return False
        return self.valid is None or bool(self._said("valid", self.valid, arch))

    def canonical(self, arch: Arch) -> Arch:
        """The architecture with the options that `same` returns; without `same`, `arch` itself."""
        require_valid(self, arch)
        if self.same is None:
            return arch
        return self._indices(self._said("same", self.same, arch))

    def _said(self, what: str, function: Callable[..., Any], arch: Arch) -> Any:
        """The result of a function of the user. Raises ForetellError if the function fails."""
        try:
            return function(**self.chosen(arch))
        except any_error() as error:
            raise ForetellError(
                f"`{what}` of space {self.name} failed for {self.chosen(arch)}: "
                f"{complaint_of(error)}"
            ) from error

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network; its weights depend on the seed and not on any global state.

        Raises ForetellError if the user's function fails or does not return a module.
        """
        require_valid(self, arch)
        try:
            with own_randomness(derived_seed(seed, self.format(arch)), torch.device("cpu")):
                model = self.make(**self.chosen(arch))
        except any_error() as error:
            raise ForetellError(
                f"{self.format(arch)} of space {self.name} cannot be built: {complaint_of(error)}"
            ) from error
        if not isinstance(model, nn.Module):
            raise ForetellError(
                f"the function that builds the networks of space {self.name} returned a "
                f"{type(model).__name__}; return a torch.nn.Module"
            )
        return model

    def parse(self, text: str) -> Arch:
        """The architecture written as `width=64,depth=1`, as `64,1`, or as one digit per choice.

        Raises ForetellError for any other text.
        """
        if text.isdigit() and len(text) == len(self.options):
            arch = tuple(map(int, text))
        else:
            parts = text.split(",")
            unnamed = "=" not in text and len(parts) == len(self.options)
            pairs = zip(self.options, parts, strict=True) if unnamed else map(named, parts)
            arch = self._indices(dict(pairs))
        require_valid(self, arch)
        return arch

    def _indices(self, given: Mapping[str, Any]) -> Arch:
        for name in given:
            if name not in self.options:
                raise unknown_name("choice", name, self.options)
        if missing := [name for name in self.options if name not in given]:
            raise ForetellError(f"no option is given for {missing[0]!r}; add {missing[0]}=OPTION")
        found = []
        for name, texts in zip(self.options, self.choices, strict=True):
            value = given[name]
            text = value if isinstance(value, str) else written(value)
            if text not in texts:
                raise ForetellError(f"{name} is {text}; give one of {', '.join(texts)}")
            found.append(texts.index(text))
        return tuple(found)

    def format(self, arch: Arch) -> str:
        """The options by name, such as `width=64,depth=1`."""
        require_valid(self, arch)
        parts = zip(self.options, self.choices, arch, strict=True)
        return ",".join(f"{name}={options[option]}" for name, options, option in parts)

    def code(self) -> tuple[object, ...]:
        """The functions of the user: `make`, `valid` and `same`."""
        return self.make, self.valid, self.same

    def settings(self) -> dict[str, Json]:
        """The options of each choice, which are part of the configuration of a run."""
        return {name: list(options) for name, options in self.options.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin:
            return own_space, (self.origin,)
        parts = (self.make, dict(self.options), self.valid, self.same, self.name)
        return Choices, parts


def named(part: str) -> tuple[str, str]:
    """The name and the option in `width=64`."""
    name, _, option = part.partition("=")
    return name, option


MOST = 1_000_000
"""The most options of a choice; each of them is written as text."""


def written(option: Json) -> str:
    """An option as text: strings unchanged, any other value as JSON.

    Raises ForetellError for a value that JSON cannot represent.
    """
    try:
        return option if isinstance(option, str) else json.dumps(option)
    except (TypeError, ValueError) as error:
        raise ForetellError(
            f"option {option!r} is not a JSON value; give its name, and look it up in the function"
        ) from error


def own_space(text: str) -> Space:
    """The space called NAME in `FILE.py:NAME` or `PACKAGE.MODULE:NAME`; runs the file.

    Raises ForetellError if there is no such object, or if it is not a space.
    """
    path, _, name = text.rpartition(":")
    in_file = path.endswith(".py")
    found = named_in_file(text) if in_file else named_in_package(text)
    space = as_space(found, repr(text))
    if isinstance(space, Choices):
        origin = f"{Path(path).resolve()}:{name}" if in_file else text
        return replace(space, name=f"{Path(path).name}:{name}" if in_file else text, origin=origin)
    return space


def as_space(found: object, what: str = "space") -> Space:
    """The object itself. Raises ForetellError, which calls it `what`, if it is not a space."""
    if not all(hasattr(found, member) for member in MEMBERS) or isinstance(found, type):
        given = "does not exist" if found is None else f"is of type {type(found).__name__}"
        raise ForetellError(
            f"{what} {given}; expected a space, such as foretell.spaces.Choices(build, options)"
        )
    return cast(Space, found)
