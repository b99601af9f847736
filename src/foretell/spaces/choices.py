"""A space of the user's own: named choices, and a function that builds the network they make."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foretell.errors import ANY, ForetellError, complaint_of, unknown_name
from foretell.seeds import derived_seed, own_randomness
from foretell.spaces.space import Arch, Json, Space, is_chosen, require_valid
from foretell.user_code import named_in_file, named_in_package

__all__ = ["Choices", "own_space"]

MEMBERS = ("choices", "is_valid", "canonical", "build", "parse", "format", "settings")
"""What tells a space from other objects."""


@dataclass(frozen=True, eq=False)
class Choices:
    """The networks that `build` makes of one option for each choice.

    `build` is called with an option a choice, by name, and returns an untrained network, its
    weights drawn as torch draws them; each architecture and seed has its own random numbers.
    `valid`, called alike, says whether options go together. `same`, called alike, returns the
    options of one fixed member of the class of architectures that make the same network: what is
    not used set to one value, say; then each network is scored and trained once. Rows are known by
    the options, not by the code of `build`: after a change to it, use another run folder.

    Raises ForetellError for a choice without two different options of plain JSON values.

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
    """What names this object in a shell; other processes load it from there."""

    def __post_init__(self) -> None:
        if not self.options:
            raise ForetellError("a space needs at least one choice: {'width': [16, 32]}")
        for name, options in self.options.items():
            texts = [written(option) for option in options]
            if not texts or len(set(texts)) < len(texts):
                raise ForetellError(
                    f"choice {name!r} has the options {list(options)}; give different ones"
                )
            if any("," in text or "=" in text for text in [*texts, name]):
                raise ForetellError(
                    f"choice {name!r} has a comma or an equals sign; leave them out"
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
        """Whether there are such options, and they go together."""
        if not is_chosen([*self.options.values()], arch):
            return False
        return self.valid is None or bool(self.valid(**self.chosen(arch)))

    def canonical(self, arch: Arch) -> Arch:
        """The member of its class that `same` names."""
        require_valid(self, arch)
        if self.same is None:
            return arch
        return self._indices(self.same(**self.chosen(arch)))

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network; its weights depend on the seed, on nothing global.

        Raises ForetellError if the user's function fails or returns something else.
        """
        require_valid(self, arch)
        try:
            with own_randomness(derived_seed(seed, self.format(arch)), torch.device("cpu")):
                model = self.make(**self.chosen(arch))
        except ANY as error:
            raise ForetellError(
                f"{self.format(arch)} of space {self.name} cannot be built: {complaint_of(error)}"
            ) from error
        if not isinstance(model, nn.Module):
            raise ForetellError(
                f"the build of space {self.name} made a {type(model).__name__}, not a "
                "torch.nn.Module; return the network"
            )
        return model

    def parse(self, text: str) -> Arch:
        """The architecture written as `width=64,depth=1`, or as digits; raises ForetellError."""
        if text.isdigit() and len(text) == len(self.options):
            arch = tuple(map(int, text))
        else:
            given = dict(part.partition("=")[::2] for part in text.split(","))
            arch = self._indices(given)
        require_valid(self, arch)
        return arch

    def _indices(self, given: Mapping[str, Any]) -> Arch:
        for name in given:
            if name not in self.options:
                raise unknown_name("choice", name, self.options)
        if missing := [name for name in self.options if name not in given]:
            raise ForetellError(f"nothing is chosen for {missing[0]!r}; give {missing[0]}=OPTION")
        found = []
        for name, texts in zip(self.options, self.choices, strict=True):
            value = given[name]
            text = value if isinstance(value, str) else written(value)
            if text not in texts:
                raise ForetellError(f"{name} is {text}; give one of {', '.join(texts)}")
            found.append(texts.index(text))
        return tuple(found)

    def format(self, arch: Arch) -> str:
        """`width=64,depth=1`."""
        require_valid(self, arch)
        parts = zip(self.options, self.choices, arch, strict=True)
        return ",".join(f"{name}={options[option]}" for name, options, option in parts)

    def settings(self) -> dict[str, Json]:
        """Its choices: a run of other choices is another run."""
        return {name: list(options) for name, options in self.options.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin:
            return own_space, (self.origin,)
        parts = (self.make, dict(self.options), self.valid, self.same, self.name)
        return Choices, parts


def written(option: Json) -> str:
    """An option as text: itself if it is text, else JSON."""
    return option if isinstance(option, str) else json.dumps(option)


def own_space(text: str) -> Space:
    """The space that `FILE.py:NAME` or `PACKAGE.MODULE:NAME` names; the file is run.

    Raises ForetellError where there is none.
    """
    path, _, name = text.rpartition(":")
    in_file = path.endswith(".py")
    found = named_in_file(text) if in_file else named_in_package(text)
    if not all(hasattr(found, member) for member in MEMBERS) or isinstance(found, type):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise ForetellError(
            f"{text!r} is {what}, not a space; make one by foretell.spaces.Choices(build, choices)"
        )
    if isinstance(found, Choices):
        origin = f"{Path(path).resolve()}:{name}" if in_file else text
        return replace(found, name=f"{Path(path).name}:{name}" if in_file else text, origin=origin)
    space: Space = found
    return space
