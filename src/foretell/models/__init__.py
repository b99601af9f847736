"""Where models come from: what a text names, how it is built, and what it wants to be fed.

The sources are listed in sources.py, which says how to add one.
"""

import torch
from torch import nn

from foretell.errors import ForetellError
from foretell.models.expand import expand_models
from foretell.models.fit import fit_batch
from foretell.models.sources import SOURCES, Source, understood
from foretell.models.specs import Like, Wanted
from foretell.seeds import own_randomness

__all__ = [
    "SOURCES",
    "Like",
    "Source",
    "Wanted",
    "expand_models",
    "fit_batch",
    "load_model",
    "wanted_input",
]

NOUN = {"image": "images", "tokens": "text"}


def load_model(text: str, like: Like) -> nn.Module:
    """The model of that name, untrained unless `like.pretrained`, its weights drawn by `like.seed`.

    Raises ForetellError, saying what is wrong, for a text that names no model.

    >>> model = load_model("nb201:333013?channels=4,cells=1", Like(classes=10, shape=(1, 8, 8)))
    >>> sum(p.numel() for p in model.parameters())
    17142
    """
    source, name, settings = understood(text)
    wanted = source.wants(name, settings, like)
    if wanted.kind != like.kind:
        raise ForetellError(
            f"{text!r} reads {NOUN[wanted.kind]} and the data is {NOUN[like.kind]}; give other data"
        )
    with own_randomness(like.seed, torch.device("cpu")):
        return source.load(name, settings, like)


def wanted_input(text: str, like: Like) -> Wanted:
    """What the model of that name states that it wants to be fed, without weights being drawn.

    >>> wanted_input("torchvision:inception_v3", Like(classes=10, shape=(1, 8, 8)))
    Wanted(kind='image', shape=(3, 299, 299), task=None)
    """
    source, name, settings = understood(text)
    return source.wants(name, settings, like)
