"""SynFlow's flow with every normalisation kept."""

import torch

from foretell.engine.flow import DROPOUTS, LinearFlow
from foretell.engine.flow_pass import flow_in
from foretell.engine.isolate import is_batch_norm
from foretell.engine.subject import NO_WEIGHTS, Found, Seconds, Subject, Unavailable, timed
from foretell.errors import TooFewValues, Undefined

__all__ = ["normed_flow_pass"]

NAMES = ("normed_flow_weights", "normed_flow_grads", "normed_flow_exponent")


def normed_flow_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The flow without dropout, each BatchNorm using the statistics of the one sample of ones.

    In float64: a normalisation's mean and variance of nearly constant maps are mostly rounding.
    """
    if not subject.weights:
        return dict.fromkeys(NAMES, NO_WEIGHTS)
    flow = LinearFlow(bypass=DROPOUTS)
    with (
        timed(seconds, "normed_flow", subject.device),
        subject.undisturbed("normed_flow", training=False),
    ):
        for module in subject.model.modules():
            if is_batch_norm(module):
                module.training = subject.batch_norm == "batch"
        try:
            return dict(zip(NAMES, flow_in(subject, flow, torch.float64), strict=True))
        except TooFewValues:
            why = Unavailable("BatchNorm meets one value per channel in the flow of one sample")
        except Undefined as error:
            why = Unavailable(str(error))
    return dict.fromkeys(NAMES, why)
