"""The sources of models: each turns the text behind its prefix into a network.

Every registered space is one. To add another: a file beside this one with a function (text,
settings, like) -> nn.Module, an import, and a line in `SOURCES`; where they are known, also what
its models want and what it has.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from foretell.errors import ForetellError, unknown_name
from foretell.models import zoos
from foretell.models.hf import from_hf, hf_names, hf_wants
from foretell.models.python import from_file, from_package
from foretell.models.spaces import from_space, read_arch, space_wants
from foretell.models.specs import Like, Wanted
from foretell.names import first_line, parse_spec
from foretell.spaces import SPACES, SpaceEntry

__all__ = ["SOURCES", "Source", "require_registered", "resolved", "understood"]

Settings = dict[str, Any]


def as_given(name: str, settings: Settings, like: Like) -> Wanted:
    """Whatever the data is."""
    return Wanted(like.kind)


@dataclass(frozen=True)
class Source:
    """A source of models and what is known of it."""

    load: Callable[[str, Settings, Like], nn.Module]
    pattern: str
    example: str
    wants: Callable[[str, Settings, Like], Wanted] = as_given
    names: Callable[[], list[str]] | None = None
    """All it has, where they can be counted."""
    read: Callable[[str], tuple[str, Settings]] = parse_spec
    """Name and settings from what follows the prefix."""
    about: str = ""
    trained: bool = False
    """Whether there are trained weights to download."""

    @property
    def summary(self) -> str:
        """What it is, in one line: the first of the loader's docstring if nothing else is said."""
        return self.about or first_line(self.load)


def of_space(name: str, entry: SpaceEntry) -> Source:
    """The networks of a registered space."""
    return Source(
        partial(from_space, name),
        f"{name}:ARCHITECTURE",
        shlex.quote(f"{name}:{entry.example}"),
        partial(space_wants, name),
        read=partial(read_arch, name),
        about=entry.summary,
    )


SOURCES: dict[str, Source] = {
    **{name: of_space(name, entry) for name, entry in SPACES.items()},
    "torchvision": Source(
        zoos.from_torchvision,
        "torchvision:NAME",
        "torchvision:resnet18?image_size=64",
        zoos.torchvision_wants,
        zoos.torchvision_names,
        trained=True,
    ),
    "timm": Source(
        zoos.from_timm, "timm:NAME", "'timm:mobilenetv3_*'", zoos.timm_wants, zoos.timm_names
    ),
    "pytorchcv": Source(
        zoos.from_pytorchcv,
        "pytorchcv:NAME",
        "pytorchcv:resnet20_cifar10",
        zoos.pytorchcv_wants,
        zoos.pytorchcv_names,
        trained=True,
    ),
    "hf": Source(from_hf, "hf:TYPE", "hf:gpt2?n_layer=4", hf_wants, hf_names),
    "file": Source(from_file, "FILE.py:FACTORY", "nets.py:small?width=32"),
    "package": Source(from_package, "PACKAGE.MODULE:FACTORY", "torchvision.models:resnet18"),
}
"""By prefix. Each reads its name up to the question mark and the settings behind it; a space's is
the text of an architecture, as the space writes it."""


def understood(text: str) -> tuple[Source, str, Settings]:
    """The source, the name it knows and the settings. Raises ForetellError for an unknown name."""
    source, name, settings = resolved(text)
    if source.names is not None and (known := source.names()) and name not in known:
        prefix = source.pattern.partition(":")[0]
        if not (prefix == "timm" and name.partition(".")[0] in known):  # weights behind the dot
            raise unknown_name("model", name, known, f"{prefix} has no model {name!r}")
    return source, name, settings


def resolved(text: str) -> tuple[Source, str, Settings]:
    """The source, the name that it knows the model by, and the settings."""
    prefix, _, rest = text.partition(":")
    if prefix in SOURCES and prefix not in ("file", "package"):
        name, settings = SOURCES[prefix].read(rest)
        if name:
            return SOURCES[prefix], name, settings
    name, settings = parse_spec(text)
    prefix, _, rest = name.partition(":")
    if not rest:
        forms = ", ".join(source.pattern for source in SOURCES.values())
        raise ForetellError(f"{text!r} names no model; the forms are {forms}")
    return SOURCES["file" if prefix.endswith(".py") else "package"], name, settings


def require_registered(text: str) -> None:
    """Refuse a model's name from a file unless building it can run no code but the sources' own.

    Tables and run folders may come from anywhere, and `FILE.py:FACTORY` and `PACKAGE:FACTORY` run
    what they name, as do settings that point to a file or fetch weights. Such names are accepted
    from the command line and from Python only.

    Raises ForetellError for a name that is none of a registered source, or has such a setting.

    >>> require_registered("torchvision:resnet18?image_size=64")
    >>> require_registered("subprocess:getoutput?cmd=date")
    Traceback (most recent call last):
    foretell.errors.ForetellError: 'subprocess:getoutput?cmd=date' would run code that a file
    names; a table may name models of registered sources only (nb201, ...)
    """
    source, _, settings = resolved(text)
    if source in (SOURCES["file"], SOURCES["package"]):
        known = ", ".join(name for name in SOURCES if name not in ("file", "package"))
        raise ForetellError(
            f"{text!r} would run code that a file names; a table may name models of registered "
            f"sources only ({known})"
        )
    for key, value in settings.items():
        if not harmless(key, value):
            raise ForetellError(
                f"{text!r} has the setting {key}, by which a model can load files or code; a table "
                "may name models with settings that are numbers only"
            )


def harmless(key: str, value: Any) -> bool:
    """Whether a setting can only change the size of a network or what it predicts."""
    if key == "task":
        return True
    numbers = value if isinstance(value, list) else [value]
    return not FETCHING.search(key) and all(
        isinstance(one, int | float | None.__class__) for one in numbers
    )


FETCHING = re.compile("pretrained|weights|remote|trust|checkpoint")
"""In the names of settings by which the sources fetch weights, or run what comes with them."""
