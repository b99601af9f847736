"""The pass that computes the gradients of each half of the minibatch separately."""

from dataclasses import replace
from typing import Any

import torch

from foretell.batch import Batch
from foretell.engine.failures import TooFewValues
from foretell.engine.passes.loss import loss_pass
from foretell.engine.subject import Found, Seconds, Subject, Unavailable, timed
from foretell.seeds import derived_seed

__all__ = ["halves_pass"]


def halves_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Compute `half_grads`; each half has its own loss, statistics and random numbers.

    If the number of samples is odd, the second half has one more.
    """
    middle = len(subject.batch) // 2
    if not middle:
        return {"half_grads": Unavailable("a batch of one sample has no halves; give at least two")}
    halves = (subject.batch[:middle], subject.batch[middle:])
    with timed(seconds, "halves", subject.device):
        try:
            found = [grads_of(subject, half, index) for index, half in enumerate(halves)]
        except TooFewValues:
            why = "half of the batch is too small for BatchNorm; give at least four samples"
            return {"half_grads": Unavailable(why)}
    missing = [half for half in found if isinstance(half, Unavailable)]
    if missing:
        return {"half_grads": missing[0]}
    return {
        "half_grads": {
            name: torch.stack([half.pop(name) for half in found]) for name in list(found[0])
        }
    }


def grads_of(subject: Subject, half: Batch, index: int) -> Any:
    """`grads` of one half, or the reason if there are none."""
    alone = replace(subject, batch=half, seed=derived_seed(subject.seed, "half", index))
    return loss_pass(alone, {"grads"}, {})["grads"]
