"""The sources of models: each builds a network from the name that follows its prefix.

Every registered space is a source. To add another, write a file in this package with a function
(name, settings, like) -> nn.Module, import it here, and add a line to `SOURCES`. If possible, add
functions that return the input that a model expects and the names of all models.
"""

import os
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from foretell.errors import ForetellError, UnknownName, nearest, unknown_name
from foretell.models import zoos
from foretell.models.hf import from_hf, hf_names, hf_wants
from foretell.models.python import from_file, from_package
from foretell.models.spaces import from_space, read_arch, space_wants
from foretell.models.specs import Like, Wanted
from foretell.names import first_line, parse_spec
from foretell.spaces import SPACES, SpaceEntry
from foretell.user_code import named_in_file, named_in_package
from foretell.user_source import file_digest, is_installed, source_digest

__all__ = [
    "SOURCES",
    "Source",
    "model_source",
    "require_registered",
    "require_trained",
    "resolved",
    "understood",
]

Settings = dict[str, Any]


def as_given(name: str, settings: Settings, like: Like) -> Wanted:
    """The input of models that accept the data unchanged."""
    return Wanted(like.kind)


@dataclass(frozen=True)
class Source:
    """A source of models."""

    load: Callable[[str, Settings, Like], nn.Module]
    pattern: str
    example: str
    wants: Callable[[str, Settings, Like], Wanted] = as_given
    names: Callable[[], list[str]] | None = None
    """A function that lists the names of all models; None if there is no such list."""
    read: Callable[[str], tuple[str, Settings]] = parse_spec
    """A function that separates the text after the prefix into name and settings."""
    about: str = ""
    trained: bool = False
    """Whether trained weights can be downloaded."""

    @property
    def summary(self) -> str:
        """A one-line description: `about`, or the first line of the docstring of `load`."""
        return self.about or first_line(self.load)


def of_space(name: str, entry: SpaceEntry) -> Source:
    """The source of models for the networks of a registered space."""
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
        zoos.from_timm,
        "timm:NAME",
        "'timm:mobilenetv3_*'",
        zoos.timm_wants,
        zoos.timm_names,
        trained=True,
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
"""The source for each prefix. The name of a model ends at the question mark, which is followed by
settings; for a space, it is the text of an architecture."""


def understood(text: str) -> tuple[Source, str, Settings]:
    """The source, the name and the settings. Raises ForetellError for an unknown name."""
    source, name, settings = resolved(text)
    if source.names is not None and (known := source.names()) and name not in known:
        prefix = source.pattern.partition(":")[0]
        if not (prefix == "timm" and name.partition(".")[0] in known):  # after the dot: weights
            raise unknown_name("model", name, known, f"{prefix} has no model {name!r}")
    return source, name, settings


def resolved(text: str) -> tuple[Source, str, Settings]:
    """The source, the name of the model in this source, and the settings."""
    prefix, _, rest = text.partition(":")
    if prefix in SOURCES and prefix not in ("file", "package"):
        name, settings = SOURCES[prefix].read(rest)
        if name:
            return SOURCES[prefix], name, settings
    name, settings = parse_spec(text)
    prefix, _, rest = name.partition(":")
    if not rest:
        raise without_source(text, name)
    return SOURCES["file" if prefix.endswith(".py") else "package"], name, settings


def require_trained(text: str) -> None:
    """Raise ForetellError if the source of this model has no trained weights."""
    if not resolved(text)[0].trained:
        raise ForetellError(f"pretrained has no effect on {text}; leave it out")


def model_source(text: str) -> str:
    """The digest of the user's code that builds a model; empty for one of a registered source.

    >>> model_source("nb201:333013"), model_source("torchvision.models:resnet18")
    ('', '')
    """
    try:
        source, name, _ = resolved(text)
        if source is SOURCES["file"]:
            return source_digest(named_in_file(name)) or file_digest(name.rpartition(":")[0])
        if source is SOURCES["package"]:
            factory = named_in_package(name)
            return "" if is_installed(factory) else source_digest(factory)
    except ForetellError:  # the row of the model says why, and the file may be corrected
        return file_digest(text.partition("?")[0].rpartition(":")[0])
    entry = SPACES.get(text.partition(":")[0])
    return "" if entry is None else source_digest(entry.constructor)


def without_source(text: str, name: str) -> UnknownName:
    """The error for a name without a prefix, with the full names that could be meant."""
    said = f"{text!r} does not name a model"
    if name.endswith(".py"):
        why = "add the name of the function that builds it"
        return UnknownName(f"{said}; {why}: {name}:FACTORY", text, "model")
    if os.path.isfile(name):
        said = f"{said}; for the models that the file lists, write @{name}"
        return UnknownName(said, text, "model", (f"@{name}",))
    near = [f"{prefix}:{known}" for prefix, known in in_zoos(name)]
    if not near:
        others = ", ".join(one.pattern for prefix, one in SOURCES.items() if prefix not in SPACES)
        forms = f"SPACE:ARCHITECTURE with one of the spaces {', '.join(SPACES)}, or {others}"
        return UnknownName(f"{said}; expected {forms}", text, "model")
    return UnknownName(f"{said}; did you mean {' or '.join(near)}?", text, "model", tuple(near))


def in_zoos(name: str) -> list[tuple[str, str]]:
    """The sources that have a model of this name; if there are none, those with a similar name.

    A source whose library is not installed is left out.
    """
    lists: dict[str, list[str]] = {}
    for prefix, source in SOURCES.items():
        if source.names is not None:
            with suppress(ForetellError):
                lists[prefix] = source.names()
    if exact := [(prefix, name) for prefix, names in lists.items() if name in names]:
        return exact
    close = [(prefix, nearest(name, names)) for prefix, names in lists.items()]
    return [(prefix, names[0]) for prefix, names in close if names]


def require_registered(text: str) -> None:
    """Refuse the name of a model in a file if building the model could run untrusted code.

    Tables and run folders may come from anywhere. `FILE.py:FACTORY` and `PACKAGE:FACTORY` run the
    code that they name, and some settings load files or download weights. Such names are accepted
    only on the command line and from Python.

    Raises ForetellError if the name is not that of a registered source, or has such a setting.

    >>> require_registered("torchvision:resnet18?image_size=64")
    >>> require_registered("subprocess:getoutput?cmd=date")
    Traceback (most recent call last):
    foretell.errors.ForetellError: 'subprocess:getoutput?cmd=date' would run code that a file
    names; in a table, name only models of registered sources (cnn, ...)
    """
    source, _, settings = resolved(text)
    if source in (SOURCES["file"], SOURCES["package"]):
        known = ", ".join(name for name in SOURCES if name not in ("file", "package"))
        raise ForetellError(
            f"{text!r} would run code that a file names; in a table, name only models of "
            f"registered sources ({known})"
        )
    for key, value in settings.items():
        if not harmless(key, value):
            raise ForetellError(
                f"{text!r} has the setting {key}, which could load files or code; in a table, "
                "give only settings that are numbers"
            )


def harmless(key: str, value: Any) -> bool:
    """Whether a setting can change only the size of a network or what it predicts."""
    if key == "task":
        return True
    numbers = value if isinstance(value, list) else [value]
    return not FETCHING.search(key) and all(
        isinstance(one, int | float | None.__class__) for one in numbers
    )


FETCHING = re.compile("pretrained|weights|remote|trust|checkpoint")
"""Words in names of settings that download weights or run code that comes with them."""
