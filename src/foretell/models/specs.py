"""What a model has to fit, and what it wants to be fed."""

from dataclasses import dataclass
from typing import Literal

from foretell.batch import Kind
from foretell.data.splits import Splits, kind_of
from foretell.data.tokens import Vocabulary
from foretell.errors import ForetellError

__all__ = ["Kind", "Like", "Task", "Wanted", "require_kind"]

Task = Literal["causal", "masked", "seq2seq", "classify"]
"""What a model predicts of text: the next token, hidden tokens, the second half, or the class."""


@dataclass(frozen=True)
class Like:
    """The data a model is built for, and the seed of its weights."""

    classes: int
    shape: tuple[int, ...]
    """Of one sample, such as (3, 32, 32), or (64,) for 64 tokens."""
    seed: int = 0
    vocabulary: Vocabulary | None = None
    """Of text; None for anything else."""
    labelled: bool = True
    """Samples have a class. Text without one is predicted itself."""
    pretrained: bool = False
    """Weights are downloaded rather than drawn, where the source has some."""

    @classmethod
    def of(cls, splits: Splits, seed: int = 0, pretrained: bool = False) -> "Like":
        """What a model has to be to be scored on this data.

        >>> from foretell.data import load_data
        >>> Like.of(load_data("digits")).shape
        (1, 8, 8)
        """
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
        """What the data consists of."""
        return kind_of(self.shape, self.vocabulary)


@dataclass(frozen=True)
class Wanted:
    """What a model states that it wants to be fed."""

    kind: Kind
    shape: tuple[int, int, int] | None = None
    """Channels, height and width of its images; None if it takes the data's."""
    task: Task | None = None
    """What it predicts of text; None if it takes ids and predicts the next."""


NOUN = {"image": "images", "tokens": "text", "audio": "audio", "table": "a table"}
FITTING = {
    "image": "images, such as digits",
    "tokens": "lines of text, such as text:FILE",
    "audio": "frames of audio, such as random:64x80",
    "table": "a table, such as csv:FILE",
}
"""What to give instead, by the kind that is read."""


def require_kind(what: str, reads: Kind, like: Like) -> None:
    """Raise ForetellError, naming data that would do, unless the data is of the kind that is read.

    >>> require_kind("nb201", "image", Like(2, (30,)))
    Traceback (most recent call last):
    foretell.errors.ForetellError: nb201 reads images and the data is a table; give images, such
    as digits
    """
    if reads != like.kind:
        raise ForetellError(
            f"{what} reads {NOUN[reads]} and the data is {NOUN[like.kind]}; give {FITTING[reads]}"
        )
