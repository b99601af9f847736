"""NAS-Bench-201 networks by the name of their cell."""

from typing import Any

from torch import nn

from foretell.models.specs import Like
from foretell.spaces import make_space


def from_nb201(text: str, settings: dict[str, Any], like: Like) -> nn.Module:
    """A NAS-Bench-201 network: the cell as official string, six digits or index."""
    fitting = {"classes": like.classes, "in_channels": like.shape[0], "resolution": like.shape[-1]}
    space = make_space("nb201", fitting | settings)
    return space.build(space.parse(text), like.seed)
