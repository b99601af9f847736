"""The properties of the data that a model is built for, and the input that a model expects."""

from dataclasses import dataclass
from typing import Literal

from foretell.batch import Kind
from foretell.checks import as_flag, as_instance, as_seed
from foretell.data.splits import Splits, kind_of
from foretell.data.tokens import Vocabulary
from foretell.errors import ForetellError

__all__ = ["Kind", "Like", "Task", "Wanted", "require_kind"]

Task = Literal["causal", "masked", "seq2seq", "classify"]
"""The task of a text model: predict the next token, masked tokens, the second half, or the
class."""


@dataclass(frozen=True)
class Like:
    """The properties of the data that a model is built for, and how to obtain its weights."""

    classes: int
    shape: tuple[int, ...]
    """The shape of one sample, such as (3, 32, 32), or (64,) for 64 tokens."""
    seed: int = 0
    vocabulary: Vocabulary | None = None
    """The vocabulary of text; None for other data."""
    labelled: bool = True
    """Whether samples have a class; for text without classes, the text itself is predicted."""
    pretrained: bool = False
    """Whether to download trained weights, if the source has them."""

    @classmethod
    def of(cls, splits: Splits, seed: int = 0, pretrained: bool = False) -> "Like":
        """The properties of the given data.

        >>> from foretell.data import load_data
        >>> Like.of(load_data("digits")).shape
        (1, 8, 8)
        """
        splits = as_instance("splits", splits, Splits, "data, as load_data returns it")
        seed, pretrained = as_seed("seed", seed), as_flag("pretrained", pretrained)
        return cls(
            splits.classes,
            splits.sample_shape,
            seed,
            splits.vocabulary,
            splits.labelled,
            pretrained,
        )

    @property
    def kind(self) -> Kind:
        """The kind of the data."""
        return kind_of(self.shape, self.vocabulary)


@dataclass(frozen=True)
class Wanted:
    """The input that a model expects."""

    kind: Kind
    shape: tuple[int, int, int] | None = None
    """The channels, height and width of images; None if the model accepts those of the data."""
    task: Task | None = None
    """The task of a text model; None if it reads ids and predicts the next id."""


NOUN = {"image": "images", "tokens": "text", "audio": "audio", "table": "a table"}
FITTING = {
    "image": "images, such as digits",
    "tokens": "lines of text, such as text:FILE",
    "audio": "frames of audio, such as random:64x80",
    "table": "a table, such as csv:FILE",
}
"""The data that an error message suggests for models that read each kind of data."""


def require_kind(what: str, reads: Kind, like: Like) -> None:
    """Raise ForetellError, with a suggestion, unless the data is of the kind that `what` reads.

    >>> require_kind("nb201", "image", Like(2, (30,)))
    Traceback (most recent call last):
    foretell.errors.ForetellError: nb201 reads images and the data is a table; give images, such
    as digits
    """
    if reads != like.kind:
        raise ForetellError(
            f"{what} reads {NOUN[reads]} and the data is {NOUN[like.kind]}; give {FITTING[reads]}"
        )
