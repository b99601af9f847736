"""The space of a run, from what the run folder says about it."""

import warnings
from collections.abc import Mapping
from typing import Any

from foretell.errors import ForetellError, ForetellWarning
from foretell.runs.code import code_about
from foretell.spaces import SPACES, Space, as_space, make_space, own_space

__all__ = ["is_other_code", "space_of"]


def space_of(about: Mapping[str, Any], given: str | Space | None) -> Space:
    """The space whose name and settings a run tells: the given one, or else the registered one.

    Raises ForetellError if it is not given and not registered, or is not that of the run.
    """
    if given is not None:
        space = own_space(given) if isinstance(given, str) else as_space(given)
        if space.settings() != about["settings"]:
            raise ForetellError(
                f"space {space.name} has other choices than {about['space']} of the run; "
                "give the space of the run"
            )
        if is_other_code(about, space):
            warnings.warn(
                f"the code of space {space.name} is another version than that of the run; its "
                "networks may differ",
                ForetellWarning,
                stacklevel=3,
            )
        return space
    if about["space"] not in SPACES:
        raise ForetellError(
            f"the space of this run is your own, {about['space']}; "
            "give it again (--space FILE.py:NAME)"
        )
    return make_space(about["space"], about["settings"])


def is_other_code(about: Mapping[str, Any], space: Space) -> bool:
    """Whether the description of a network names another version of the code of its space."""
    return "code" in about and about["code"] != code_about(space).get("code")
