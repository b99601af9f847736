"""Models by name: where they come from, how they are built, and which input they expect.

The module `sources` lists the sources and describes how to add one.
"""

import torch
from torch import nn

from foretell.batch import Batch, as_batch
from foretell.checks import as_text
from foretell.data.splits import Splits
from foretell.models.expand import expand_models
from foretell.models.fit import as_wanted
from foretell.models.reduced import reduced_name
from foretell.models.sources import SOURCES, Source, require_trained, understood
from foretell.models.spaces import space_for
from foretell.models.specs import Like, Wanted, require_kind
from foretell.seeds import own_randomness

__all__ = [
    "SOURCES",
    "Source",
    "expand_models",
    "fit_batch",
    "load_model",
    "reduced_name",
    "space_for",
    "wanted_input",
]


def load_model(text: str, splits: Splits, seed: int = 0, *, pretrained: bool = False) -> nn.Module:
    """Build the model that `text` names for the data, with weights that depend on the seed.

    The network is untrained; with `pretrained`, trained weights are downloaded. Raises
    ForetellError if `text` does not name a model, if the model cannot read the data, or if its
    source has no trained weights.

    >>> from foretell.data import load_data
    >>> model = load_model("nb201:333013?channels=4,cells=1", load_data("digits"))
    >>> sum(p.numel() for p in model.parameters())
    17142
    """
    return model_like(as_name(text), Like.of(splits, seed, pretrained))


def fit_batch(
    batch: Batch, text: str, splits: Splits, seed: int = 0, *, pretrained: bool = False
) -> Batch:
    """Convert a batch of the data to the form that the model named by `text` expects.

    Images are resized to the size that the model expects, by bilinear interpolation with
    antialiasing; a single channel is repeated if the model requires three. Text is converted to
    inputs and targets for the task of the model, and the seed determines which tokens are masked.
    Raises ForetellError if `text` does not name a model, or if the model cannot read the data.

    >>> from foretell.data import load_data, minibatch
    >>> splits = load_data("digits")
    >>> batch = Batch(*minibatch(splits.train, size=2, seed=0))
    >>> fit_batch(batch, "torchvision:inception_v3", splits).inputs.shape
    torch.Size([2, 3, 299, 299])
    """
    batch, like = as_batch(batch), Like.of(splits, seed, pretrained)
    wanted = wanted_input(as_name(text), like)
    return as_wanted(batch, wanted, splits.vocabulary, like.seed)


def as_name(text: object) -> str:
    """The name of a model, which is a text."""
    return as_text("text", text, "the name of a model, such as 'nb201:333013'")


def model_like(text: str, like: Like) -> nn.Module:
    """Like `load_model`, for data with these properties."""
    wanted_input(text, like)  # it refuses data of another kind
    if like.pretrained:
        require_trained(text)
    source, name, settings = understood(text)
    with own_randomness(like.seed, torch.device("cpu")):
        return source.load(name, settings, like)


def wanted_input(text: str, like: Like) -> Wanted:
    """The input that the model named by `text` expects; its weights are not initialised.

    Raises ForetellError if the data is of another kind.

    >>> wanted_input("torchvision:inception_v3", Like(classes=10, shape=(1, 8, 8)))
    Wanted(kind='image', shape=(3, 299, 299), task=None)
    """
    source, name, settings = understood(text)
    wanted = source.wants(name, settings, like)
    require_kind(repr(text), wanted.kind, like)
    return wanted
