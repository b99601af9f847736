"""The quantities a proxy may ask for by naming them as a parameter, and the step that gives each.

Steps are what the engine runs. A step's cost is in forward-equivalents: the arithmetic of one
forward pass of the minibatch. `tests/engine/test_plan.py` counts them.
"""

from dataclasses import dataclass

__all__ = ["QUANTITIES", "STEPS", "Quantity", "Step"]


@dataclass(frozen=True)
class Quantity:
    """A thing the engine can compute once for all who need it."""

    step: str
    meaning: str


@dataclass(frozen=True)
class Step:
    """A piece of a pass; it continues from the steps named in `after`."""

    of: str
    """The pass it belongs to, by its name in `foretell.engine.passes.PASSES`."""
    cost: float
    """In forward passes of the minibatch, or of one sample if `per_sample`."""
    meaning: str
    after: tuple[str, ...] = ()
    per_sample: bool = False


STEPS: dict[str, Step] = {
    "read": Step("read", 0, "the model's own tensors"),
    "count": Step("count", 0, "a forward pass of shapes alone, through a FLOP counter"),
    "forward": Step("loss", 1, "one forward pass of the minibatch, its graph kept"),
    "jacobian": Step("loss", 1, "summed outputs back to the inputs", after=("forward",)),
    "backward": Step("loss", 2, "loss back to weights and layer outputs", after=("forward",)),
    "codes": Step(
        "loss", 0.5, "agreement of all pairs' codes; grows with the batch", after=("forward",)
    ),
    "curvature": Step("loss", 4, "tangents along the weights, forth and back", after=("backward",)),
    "flow": Step("flow", 3, "|w| on one sample of ones, forward and back", per_sample=True),
    "reference_flow": Step(
        "reference_flow", 3, "the same with the reference's normalisations", per_sample=True
    ),
    "normed_flow": Step("normed_flow", 3, "the same with all normalisations", per_sample=True),
    "halves": Step("halves", 3, "each half of the minibatch forward, and its loss back"),
    "gaussian": Step("gaussian", 2, "two forward passes with weights and inputs from N(0, 1)"),
}


QUANTITIES: dict[str, Quantity] = {
    "parameters": Quantity("read", "name → parameter, tied ones once"),
    "weights": Quantity("read", "name → weight tensor; `weights.py` says what counts"),
    "targets": Quantity("read", "the batch's targets as given"),
    "forward_flops": Quantity("count", "FLOPs of one sample's forward pass"),
    "output_width": Quantity("forward", "length of the main output's last axis"),
    "codes_kernel": Quantity("codes", "[N, N]: how many units are on the same side for a pair"),
    "input_grads": Quantity("jacobian", "[N, D]: ∂(sample's summed output)/∂(sample)"),
    "grads": Quantity("backward", "name → ∂L/∂w, zeros where the loss does not depend on w"),
    "taylor": Quantity("backward", "layer → [N, C]: Σ over positions of a · ∂L/∂a"),
    "fan_in": Quantity("backward", "layer → number of weights of one of its channels"),
    "hessian_weights": Quantity("curvature", "name → (H w), H the Hessian of L over all weights"),
    "flow_weights": Quantity("flow", "name → |w|"),
    "flow_grads": Quantity("flow", "name → ∂R/∂|w| / 2**flow_exponent"),
    "flow_exponent": Quantity("flow", "the power of two taken out of R"),
    "reference_flow_weights": Quantity("reference_flow", "as flow_weights"),
    "reference_flow_grads": Quantity("reference_flow", "as flow_grads"),
    "reference_flow_exponent": Quantity("reference_flow", "as flow_exponent"),
    "normed_flow_weights": Quantity("normed_flow", "as flow_weights"),
    "normed_flow_grads": Quantity("normed_flow", "as flow_grads"),
    "normed_flow_exponent": Quantity("normed_flow", "as flow_exponent"),
    "half_grads": Quantity("halves", "name → [2, …]: the `grads` of each half of the minibatch"),
    "feature_change": Quantity("gaussian", "mean over samples of ‖f(x) − f(x + 0.01ε)‖₁"),
    "norm_variances": Quantity("gaussian", "for each BatchNorm [C]: what it divides squares by"),
}
