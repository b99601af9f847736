"""How networks are scored: the one home of that choice, as TrainSettings is of training."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, get_args

import torch

from foretell.engine.isolate import BatchNorm
from foretell.engine.weights import Layers
from foretell.errors import ForetellError, did_you_mean
from foretell.losses import Loss, loss_name, resolve_loss

__all__ = ["Precision", "ScoreChoices", "ScoreSettings", "settings_of"]

Precision = Literal["full", "tf32"]


@dataclass(frozen=True)
class ScoreSettings:
    """How networks are scored.

    - `loss`: "cross_entropy", "mse", "bce_with_logits", "token_cross_entropy", "own", or a
      callable (outputs, targets) → scalar.
    - `layers`: "all" weights, or "conv2d_linear" as the code of arXiv:2101.08134 counts.
    - `batch_norm`: statistics of the "batch", or the "frozen" running ones.
    - `micro_batch`: how many samples are run at a time, None for all at once; refused where it
      would change a score.
    - `precision`: "full", or "tf32", by which a GPU may multiply with 10 bits instead of
      float32's 23; a CPU has no TF32 and computes in full.
    - `faster`: False turns every shortcut off, so that a doubtful score can be computed by torch's
      own operations, the curvature by a double backward. The values agree to rounding
      (docs/precision.md), so `faster` is in no row's key.
    - `verify`: True checks the second derivative of `grasp` by differences of the gradient in
      float64, which takes three to five times as long; `nan` with a reason where they disagree.
      No value changes otherwise, so it is in no row's key either.

    Raises ForetellError for a value that is none of these.

    >>> ScoreSettings(batch_norm="frozen").key("cpu")
    {'loss': 'cross_entropy', 'layers': 'all', 'batch_norm': 'frozen'}
    """

    loss: str | Loss = "cross_entropy"
    layers: Layers = "all"
    batch_norm: BatchNorm = "batch"
    micro_batch: int | None = None
    precision: Precision = "full"
    faster: bool = True
    verify: bool = False

    def __post_init__(self) -> None:
        resolve_loss(self.loss)
        named = {"layers": Layers, "batch_norm": BatchNorm, "precision": Precision}
        for name, allowed in named.items():
            if (given := getattr(self, name)) not in (known := get_args(allowed)):
                raise ForetellError(f"{name} is {given!r}; choose {' or '.join(map(repr, known))}")
        size = self.micro_batch
        if size is not None and (type(size) is not int or size < 1):
            raise ForetellError(f"micro_batch is {size!r}; give an integer of at least 1, or None")
        for switch in ("faster", "verify"):
            if type(value := getattr(self, switch)) is not bool:
                raise ForetellError(f"{switch} is {value!r}; give True or False")

    def key(self, device: torch.device | str) -> dict[str, Any]:
        """What is said of it in the key of a score's row: all that can change a value.

        A GPU's last digits are others than a CPU's, so it is named; `micro_batch` and `faster`
        change no value.
        """
        key = {"loss": loss_name(self.loss), "layers": self.layers, "batch_norm": self.batch_norm}
        return key | self.device_key(device)

    def device_key(self, device: torch.device | str) -> dict[str, Any]:
        """The part of the key that depends on the kind of device."""
        kind = torch.device(device).type
        if kind == "cpu":
            return {}
        return {"device": kind} | ({"tf32": True} if self.precision == "tf32" else {})


class ScoreChoices(TypedDict, total=False):
    """The fields of ScoreSettings as keyword arguments of the functions that score."""

    loss: str | Loss
    layers: Layers
    batch_norm: BatchNorm
    micro_batch: int | None
    precision: Precision
    faster: bool
    verify: bool


def settings_of(scoring: ScoreSettings, choices: ScoreChoices) -> ScoreSettings:
    """The settings, in which a choice made by keyword takes precedence.

    Raises TypeError for a keyword that is not a field of ScoreSettings, as Python does for any
    unknown argument, and ForetellError for a value that a field does not take.

    >>> settings_of(ScoreSettings(loss="mse"), {"micro_batch": 8}).micro_batch
    8
    >>> settings_of(ScoreSettings(), {"micro_bach": 8})
    Traceback (most recent call last):
    TypeError: 'micro_bach' is not an argument here; did you mean 'micro_batch'?
    """
    if not isinstance(scoring, ScoreSettings):
        raise ForetellError(
            f"scoring is a {type(scoring).__name__}; give ScoreSettings(...), or its fields by name"
        )
    known = [field.name for field in fields(ScoreSettings)]
    for name in choices:
        if name not in known:
            raise TypeError(f"{name!r} is not an argument here; {did_you_mean(name, known)}")
    return replace(scoring, **choices)
