"""The settings of training."""

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.batch import Kind

__all__ = ["TrainSettings"]

Augmentation = Literal["none", "shift"]


Optimizer = Literal["sgd", "adamw"]


Precision = Literal["full", "tf32", "bf16", "fp16"]


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained. Raises ForetellError for a value out of range.

    An epoch consists of the fewest batches of at most `batch_size` images, whose sizes differ by at
    most one. The augmentation "shift" moves each image by up to one pixel in each direction and
    repeats its border. `momentum` applies to SGD only. `stop_after` ends a training after this
    epoch of the schedule of `epochs`. `patience` ends it after this number of consecutive epochs
    without a better validation accuracy; by default it is off. A `precision` of "bf16" or "fp16" is
    automatic mixed precision, the latter with gradient scaling; "tf32" multiplies float32 in TF32.
    "fp16" and "tf32" require a GPU.
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

    def require(self, kind: "Kind") -> None:
        """Raise ForetellError unless these settings apply to samples of this kind."""
        if self.augmentation == "shift" and kind != "image":
            raise ForetellError(
                "augmentation 'shift' moves images and the data has none; give augmentation 'none'"
            )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ForetellError(f"{name} is {value!r}; expected an integer of at least 1")
        stop = self.stop_after
        if stop is not None and (type(stop) is not int or not 1 <= stop <= self.epochs):
            raise ForetellError(f"stop_after is {stop!r}; expected 1 to {self.epochs}")
        if self.patience is not None and (type(self.patience) is not int or self.patience < 1):
            raise ForetellError(f"patience is {self.patience!r}; expected at least 1, or None")
        named = {"augmentation": Augmentation, "optimizer": Optimizer, "precision": Precision}
        for name, allowed in named.items():
            if (given := getattr(self, name)) not in get_args(allowed):
                known = " or ".join(get_args(allowed))
                raise ForetellError(f"{name} is {given!r}; expected {known}")
        if not 0 < self.lr < math.inf:
            raise ForetellError(f"lr is {self.lr!r}; expected a learning rate above 0")
        if not 0 <= self.momentum < 1:
            raise ForetellError(f"momentum is {self.momentum!r}; expected at least 0 and below 1")
        if self.nesterov and self.momentum == 0:
            raise ForetellError("nesterov requires momentum, and momentum is 0; use nesterov=False")
        if not 0 <= self.weight_decay < math.inf:
            raise ForetellError(f"weight_decay is {self.weight_decay!r}; expected at least 0")
