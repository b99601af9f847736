"""The settings of training."""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from foretell.checks import as_choice, as_flag, as_integer, as_number, keep, optional
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.batch import Kind

__all__ = ["TrainSettings"]

Augmentation = Literal["none", "shift"]


Optimizer = Literal["sgd", "adamw"]


Precision = Literal["full", "tf32", "bf16", "fp16"]

LARGEST = 1e18
"""Rates below this, and the product of two of them, fit into float32."""


@dataclass(frozen=True)
class TrainSettings:
    """Settings that determine how a network is trained.

    Raises ForetellError for a value out of range.

    An epoch consists of the fewest batches of at most `batch_size` images, whose sizes differ by at
    most one. The augmentation "shift" moves each image by up to one pixel in each direction and
    repeats its border. `momentum` applies to SGD only. `stop_after` ends a training after this
    epoch of the schedule of `epochs`. `patience` ends it after this number of consecutive epochs
    without a better validation accuracy; by default it is off. A `precision` of "bf16" or "fp16" is
    automatic mixed precision, the latter with gradient scaling; "tf32" multiplies float32 in TF32.
    "fp16" and "tf32" require a GPU.

    >>> TrainSettings(epochs=3, optimizer="adamw", lr=1e-3).optimizer
    'adamw'
    """

    epochs: int = 10
    stop_after: int | None = None
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    augmentation: Augmentation = "none"
    optimizer: Optimizer = "sgd"
    patience: int | None = None
    precision: Precision = "full"

    def key(self) -> dict[str, Any]:
        """The settings as part of a row key; newer settings are included only if they are on.

        >>> TrainSettings(patience=3).key().keys() - TrainSettings().key().keys()
        {'patience'}
        """
        added = {f.name: f.default for f in fields(self) if f.name in ("patience", "precision")}
        return {n: v for n, v in asdict(self).items() if n not in added or v != added[n]}

    def require(self, kind: "Kind", device: str = "cpu") -> None:
        """Raise ForetellError unless these settings apply to samples of this kind on a device."""
        if self.precision in ("fp16", "tf32") and device == "cpu":
            raise ForetellError(
                f"precision {self.precision} requires a GPU; use bf16 or full on the CPU"
            )
        if self.augmentation == "shift" and kind != "image":
            raise ForetellError(
                "augmentation 'shift' moves images and the data has none; give augmentation 'none'"
            )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            keep(self, name, as_integer)
        keep(self, "stop_after", optional(as_integer), 1, self.epochs)
        keep(self, "patience", optional(as_integer))
        named = (("augmentation", Augmentation), ("optimizer", Optimizer), ("precision", Precision))
        for name, known in named:
            keep(self, name, as_choice, get_args(known))
        keep(self, "lr", as_number, above=0, below=LARGEST)
        keep(self, "momentum", as_number, 0, below=1)
        keep(self, "nesterov", as_flag)
        if self.nesterov and self.momentum == 0:
            raise ForetellError("nesterov requires momentum, and momentum is 0; use nesterov=False")
        keep(self, "weight_decay", as_number, 0, below=LARGEST)
        usual = (TrainSettings.momentum, TrainSettings.nesterov)
        if self.optimizer == "adamw" and (self.momentum, self.nesterov) != usual:
            raise ForetellError(
                f"momentum is {self.momentum} and nesterov is {self.nesterov}, which have no "
                "effect on adamw; leave them out"
            )
