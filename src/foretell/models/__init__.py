"""Where models come from: what a text names, how it is built, and what it wants to be fed.

The sources are listed in sources.py, which says how to add one.
"""

import torch
from torch import nn

from foretell.batch import Batch
from foretell.data.splits import Splits
from foretell.models.expand import expand_models
from foretell.models.fit import as_wanted
from foretell.models.sources import SOURCES, Source, understood
from foretell.models.spaces import space_for
from foretell.models.specs import Like, Wanted, require_kind
from foretell.seeds import own_randomness

__all__ = [
    "SOURCES",
    "Source",
    "expand_models",
    "fit_batch",
    "load_model",
    "space_for",
    "wanted_input",
]


def load_model(text: str, splits: Splits, seed: int = 0, *, pretrained: bool = False) -> nn.Module:
    """The model that a text names, built for the data, its weights drawn by the seed.

    With `pretrained`, weights are downloaded where the source has them. Raises ForetellError,
    saying what is wrong, for a text that names no model, and for data that the model cannot read.

    >>> from foretell.data import load_data
    >>> model = load_model("nb201:333013?channels=4,cells=1", load_data("digits"))
    >>> sum(p.numel() for p in model.parameters())
    17142
    """
    return model_like(text, Like.of(splits, seed, pretrained))


def fit_batch(
    batch: Batch, text: str, splits: Splits, seed: int = 0, *, pretrained: bool = False
) -> Batch:
    """A batch of the data as the model that a text names wants it.

    Images are resized bilinearly, antialiased, to the size that the model states; one channel
    becomes three equal ones where it insists on three. Text is laid out for what the model
    predicts of it; tokens to hide are drawn by the seed. Raises ForetellError for a text that
    names no model, and for data that the model cannot read.

    >>> from foretell.data import load_data, minibatch
    >>> splits = load_data("digits")
    >>> batch = Batch(*minibatch(splits.train, size=2, seed=0))
    >>> fit_batch(batch, "torchvision:inception_v3", splits).inputs.shape
    torch.Size([2, 3, 299, 299])
    """
    wanted = wanted_input(text, Like.of(splits, seed, pretrained))
    return as_wanted(batch, wanted, splits.vocabulary, seed)


def model_like(text: str, like: Like) -> nn.Module:
    """As `load_model`, from what is known of the data."""
    wanted_input(text, like)  # refuses data of another kind
    source, name, settings = understood(text)
    with own_randomness(like.seed, torch.device("cpu")):
        return source.load(name, settings, like)


def wanted_input(text: str, like: Like) -> Wanted:
    """What the model of that name states that it wants to be fed, without weights being drawn.

    Raises ForetellError for data of another kind.

    >>> wanted_input("torchvision:inception_v3", Like(classes=10, shape=(1, 8, 8)))
    Wanted(kind='image', shape=(3, 299, 299), task=None)
    """
    source, name, settings = understood(text)
    wanted = source.wants(name, settings, like)
    require_kind(repr(text), wanted.kind, like)
    return wanted
