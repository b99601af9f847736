"""Name the network of a space in the reduced form of the space."""

import json

from foretell.errors import ForetellError
from foretell.models.sources import SOURCES, resolved
from foretell.spaces import SPACES, reduced_settings

__all__ = ["reduced_name"]


def reduced_name(text: str) -> str:
    """The name of the same architecture in the reduced form of its space.

    Raises ForetellError if it is not a network of a space, or if the space has no reduced form.

    >>> reduced_name("nb101:110011:01?channels=64,stacks=2")
    'nb101:110011:01?channels=32,stacks=2,modules=1'
    >>> reduced_name("torchvision:resnet18")
    Traceback (most recent call last):
    foretell.errors.ForetellError: torchvision:resnet18 has no reduced form, since it is not an
    architecture of a space; score it in full
    """
    source, arch, settings = resolved(text)
    prefix = text.partition(":")[0]
    if prefix not in SPACES or source is not SOURCES[prefix]:
        raise ForetellError(
            f"{text} has no reduced form, since it is not an architecture of a space; score it in "
            "full"
        )
    each = [f"{key}={as_text(value)}" for key, value in reduced_settings(prefix, settings).items()]
    return f"{prefix}:{arch}?{','.join(each)}"


def as_text(value: object) -> str:
    """The value of a setting as it is written in a name."""
    return value if isinstance(value, str) else json.dumps(value)
