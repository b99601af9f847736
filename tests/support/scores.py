"""Short functions for the scores of a model, and for the reason of an undefined one."""

import math
from typing import Any

from torch import nn

from foretell import Score, score
from foretell.batch import Batch
from foretell.engine.subject import Subject
from foretell.losses import LOSSES


def subject_of(model: nn.Module, batch: Any, **changes: Any) -> Subject:
    """The subject that `score` creates for a model and a batch."""
    settings = {"seed": 0, "layers": "all", "batch_norm": "batch", "micro_batch": None} | changes
    return Subject(model, Batch(*batch), LOSSES["cross_entropy"], **settings)


def values(scores: dict[str, Score]) -> dict[str, float]:
    """The values alone."""
    return {name: one.value for name, one in scores.items()}


def why(model: nn.Module, batch: Any, proxy: str, **settings: Any) -> str:
    """The reason why a score is undefined."""
    one = score(model, batch, proxy, **settings)[proxy]
    assert math.isnan(one.value)
    assert one.why is not None
    return one.why
