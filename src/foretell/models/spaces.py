"""Spaces by name, built for the data, and their networks as models."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from foretell.batch import Kind
from foretell.data.splits import Splits
from foretell.errors import ForetellError
from foretell.models.specs import FITTING, Like, Wanted, require_kind
from foretell.names import parse_spec
from foretell.spaces import SPACES, Json, Space, make_space, own_space

__all__ = ["space_for"]

Settings = dict[str, Any]


def space_for(name: str, settings: Mapping[str, Json], splits: Splits) -> Space:
    """The space of this name, with the settings that the data determines.

    `name` is a registered name, or a space of your own as `FILE.py:NAME` or `PACKAGE.MODULE:NAME`,
    which is returned as it is. `settings` take precedence over those that the data determines.
    Raises ForetellError for an unknown name or setting, or if the networks of the space cannot read
    the data.

    >>> from foretell.data import load_data
    >>> space_for("macro", {"channels": 8}, load_data("digits")).settings()
    {'channels': 8, 'features': 1280, 'classes': 10, 'in_channels': 1, 'resolution': 8}
    """
    return space_like(name, settings, Like.of(splits))


def space_like(name: str, settings: Mapping[str, Json], like: Like) -> Space:
    """Like `space_for`, for data with these properties."""
    prefix, colon, _ = name.partition(":")
    if prefix in SPACES and colon:
        raise ForetellError(f"{name} is one network; give its space, {prefix}")
    if colon and settings:
        raise ForetellError(
            f"{name} is a space of your own and takes no settings; change it in its file"
        )
    if colon:
        return own_space(name)
    known = make_space(name).settings()
    reads = SPACES[name].reads
    require_kind(name, reads, like)
    if reads in PREDICTED and like.labelled:
        raise ForetellError(
            f"{name} predicts {PREDICTED[reads]} and the data has one label per sample; "
            f"give {FITTING[reads]}"
        )
    decided = {key: value for key, value in DECIDED[reads](like).items() if key in known}
    return make_space(name, decided | dict(settings))


PREDICTED: Mapping[Kind, str] = {
    "tokens": "every next token",
    "audio": "a phoneme for every fourth frame",
}
"""The prediction of networks that do not predict one class per sample."""

DECIDED: Mapping[Kind, Callable[[Like], Settings]] = {
    "image": lambda like: {
        "classes": like.classes,
        "in_channels": like.shape[0],
        "resolution": like.shape[1],
    },
    "tokens": lambda like: {"vocabulary": like.classes, "length": like.shape[0]},
    "audio": lambda like: {
        "features": like.shape[1],
        "phonemes": like.classes - 1,
    },  # no blank
    "table": lambda like: {"classes": like.classes, "features": like.shape[0]},
}
"""The settings that each kind of data determines, for spaces with such settings."""


def from_space(name: str, arch: str, settings: Settings, like: Like) -> nn.Module:
    """The network of an architecture in the registered space `name`."""
    space = space_like(name, settings, like)
    return space.build(space.parse(arch), like.seed)


def space_wants(name: str, arch: str, settings: Settings, like: Like) -> Wanted:
    """The data unchanged, since its size and vocabulary are settings of the space."""
    return Wanted(SPACES[name].reads)


def read_arch(name: str, text: str) -> tuple[str, Settings]:
    """The text of an architecture, and the settings that may follow the last question mark.

    A text that the space can parse as a whole is an architecture, even if it contains question
    marks.

    >>> read_arch("nb101", "110011:01?channels=16")
    ('110011:01', {'channels': 16})
    """
    arch, question, settings = text.rpartition("?")
    if not question or reads_as_arch(name, text):
        return text, {}
    return arch, parse_spec(f"{name}?{settings}")[1]


def reads_as_arch(name: str, text: str) -> bool:
    """Whether the space can parse the text as an architecture."""
    try:
        make_space(name).parse(text)
    except ForetellError:
        return False
    return True
