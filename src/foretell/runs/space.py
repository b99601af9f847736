"""Restore the space of a run from its description in the run folder."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from foretell.checks import as_texts
from foretell.errors import ForetellError, ForetellWarning
from foretell.models import expand_models
from foretell.models.sources import require_registered
from foretell.models.specs import Like
from foretell.models.zoo import ModelZoo
from foretell.runs.code import code_about
from foretell.spaces import SPACES, Space, as_space, make_space, own_space

__all__ = ["is_other_code", "space_of"]


def space_of(about: Mapping[str, Any], given: str | Sequence[str] | Space | None) -> Space:
    """The space that a run describes by name and settings: the given one, or a registered one.

    A list of models need not be given if `about` describes a single network and no code of the user
    is needed to build it.

    Raises ForetellError if the space is neither given nor registered, or if the given space is not
    that of the run.
    """
    if about["space"] == ModelZoo.name and not isinstance(given, ModelZoo):
        return zoo_of(about, given)
    if isinstance(given, str) and given.partition("?")[0] in SPACES:
        raise ForetellError(f"space is {given!r}, which is not your own; leave it out")
    if isinstance(given, list | tuple):
        raise ForetellError(f"the space of this run is {about['space']}, not a list of models")
    if given is not None:
        space = own_space(given) if isinstance(given, str) else as_space(given)
        if space.settings() != about["settings"]:
            raise ForetellError(
                f"space {space.name} has other choices than {about['space']} of the run; "
                "give the space of the run"
            )
        if is_other_code(about, space):
            warnings.warn(
                f"the code of space {space.name} has changed since the run, so its networks "
                "may differ",
                ForetellWarning,
                stacklevel=3,
            )
        return space
    if about["space"] not in SPACES:
        raise ForetellError(
            f"the space of this run is your own, {about['space']}; "
            "pass it again (--space FILE.py:NAME)"
        )
    return make_space(about["space"], about["settings"])


def zoo_of(about: Mapping[str, Any], given: object) -> ModelZoo:
    """The given list of models, or the single network of `about`, built for the data."""
    settings = about["settings"]
    try:
        like = Like(int(settings["classes"]), tuple(map(int, settings["shape"])))
    except (KeyError, TypeError, ValueError):
        raise ForetellError("the run does not say for which data its models were built") from None
    zoo = ModelZoo(tuple(named(about.get("arch"), given)), like)
    if "arch" in about:
        zoo.parse(about["arch"])
    return zoo


def named(arch: str | None, given: object) -> list[str]:
    """The names in the given list; without a list, the name of the network."""
    if given is not None:
        return expand_models(as_texts("space", given))
    try:
        require_registered(arch or "")
    except ForetellError:
        raise ForetellError(
            "the space of this run is a list of models; pass it again (--space @FILE)"
        ) from None
    return [str(arch)]


def is_other_code(about: Mapping[str, Any], space: Space) -> bool:
    """Whether the description of a network names another version of the code of its space."""
    return "code" in about and about["code"] != code_about(space).get("code")
