"""Where models come from: each source turns the text behind its prefix into a network.

To add one: a file beside this one with a function (text, settings, like) -> nn.Module, an import,
and a line in `SOURCES`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from foretell.engine.isolate import own_randomness
from foretell.errors import ForetellError
from foretell.models.like import Like
from foretell.models.nb201 import from_nb201
from foretell.models.python import from_file, from_package
from foretell.spec import parse_spec

__all__ = ["SOURCES", "Like", "Source", "load_model"]

Loader = Callable[[str, dict[str, Any], Like], nn.Module]


@dataclass(frozen=True)
class Source:
    """A source of models and what is known of it."""

    load: Loader
    pattern: str
    example: str

    @property
    def summary(self) -> str:
        """The first line of the loader's docstring."""
        return (inspect.getdoc(self.load) or "").partition("\n")[0]


SOURCES: dict[str, Source] = {
    "nb201": Source(from_nb201, "nb201:CELL", "nb201:333013"),
    "file": Source(from_file, "FILE.py:FACTORY", "nets.py:small?width=32"),
    "package": Source(from_package, "PACKAGE.MODULE:FACTORY", "torchvision.models:resnet18"),
}


def load_model(text: str, like: Like) -> nn.Module:
    """The untrained model of that name, its weights drawn by `like.seed`.

    Raises ForetellError, saying what is wrong, for a text that names no model.

    >>> model = load_model("nb201:333013?channels=4,cells=1", Like(classes=10, shape=(1, 8, 8)))
    >>> sum(p.numel() for p in model.parameters())
    17142
    """
    name, settings = parse_spec(text)
    prefix, colon, rest = name.partition(":")
    if not colon or not rest:
        forms = ", ".join(source.pattern for source in SOURCES.values())
        raise ForetellError(f"{text!r} names no model; the forms are {forms}")
    if prefix.endswith(".py"):
        source, rest = SOURCES["file"], name
    elif prefix in SOURCES and prefix not in ("file", "package"):
        source = SOURCES[prefix]
    else:
        source, rest = SOURCES["package"], name
    with own_randomness(like.seed, torch.device("cpu")):
        return source.load(rest, settings, like)
