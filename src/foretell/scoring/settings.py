"""The settings of scoring; those of training are in `TrainSettings`."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, get_args

import torch

from foretell.checks import as_choice, as_flag, as_instance, as_integer, keep, optional
from foretell.engine.isolate import BatchNorm
from foretell.engine.weights import Layers
from foretell.errors import did_you_mean
from foretell.losses import Loss, loss_name, resolve_loss

__all__ = ["Precision", "ScoreChoices", "ScoreSettings", "settings_of"]

Precision = Literal["full", "tf32"]


@dataclass(frozen=True)
class ScoreSettings:
    """Settings that determine how networks are scored.

    - `loss`: "cross_entropy", "mse", "l1", "bce_with_logits", "token_cross_entropy", "own" (the
      loss that the model returns), or a callable (outputs, targets) → scalar.
    - `layers`: "all" for all weights, or "conv2d_linear" for only those that the code of
      arXiv:2101.08134 counts.
    - `batch_norm`: "batch" to normalise with the statistics of the batch, or "frozen" to normalise
      with the running statistics.
    - `micro_batch`: the number of samples that are run at a time, or None for all at once; it is
      refused if it would change a score.
    - `precision`: "full", or "tf32", which lets a GPU multiply with 10 mantissa bits instead of
      float32's 23. A CPU has no TF32 and always computes in full precision.
    - `faster`: False turns off all optimisations, so that a doubtful score can be computed with
      torch's own operations, and the curvature with a double backward. The values agree within
      rounding error (docs/precision.md), so `faster` is not part of a row key.
    - `verify`: True checks the second derivative of `grasp` against differences of the gradient in
      float64, which takes three to five times as long. If they disagree, the score is `nan` with
      the reason. It changes no other value, so it is not part of a row key either.

    Raises ForetellError for any other value.

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
        for name, known in (
            ("layers", Layers),
            ("batch_norm", BatchNorm),
            ("precision", Precision),
        ):
            keep(self, name, as_choice, get_args(known))
        keep(self, "micro_batch", optional(as_integer))
        keep(self, "faster", as_flag)
        keep(self, "verify", as_flag)

    def key(self, device: torch.device | str) -> dict[str, Any]:
        """The settings that are part of the row key of a score: those that can change its value.

        The kind of device is part of the key, since the last digits of a score differ between CPU
        and GPU. `micro_batch`, `faster` and `verify` do not change a value.
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
    """The settings, updated with the keyword arguments, which take precedence.

    Raises TypeError for a keyword that is not a field of ScoreSettings, as Python does for any
    unknown argument, and ForetellError for a value that a field does not take.

    >>> settings_of(ScoreSettings(loss="mse"), {"micro_batch": 8}).micro_batch
    8
    >>> settings_of(ScoreSettings(), {"micro_bach": 8})
    Traceback (most recent call last):
    TypeError: 'micro_bach' is not an argument here; did you mean 'micro_batch'?
    """
    as_instance("scoring", scoring, ScoreSettings, "ScoreSettings(...), or give its fields by name")
    known = [field.name for field in fields(ScoreSettings)]
    for name in choices:
        if name not in known:
            raise TypeError(f"{name!r} is not an argument here; {did_you_mean(name, known)}")
    return replace(scoring, **choices)
