"""The quantities that proxies request by their parameter names, and the steps that compute them.

The engine runs steps. The cost of a step is in forward-equivalents: the arithmetic of one forward
pass of the minibatch. `tests/engine/test_plan.py` verifies the costs.
"""

from dataclasses import dataclass

__all__ = ["QUANTITIES", "STEPS", "Quantity", "Step"]


@dataclass(frozen=True)
class Quantity:
    """An intermediate result that is computed once for all proxies that need it."""

    step: str
    meaning: str


@dataclass(frozen=True)
class Step:
    """A part of a pass; it requires the steps named in `after`."""

    of: str
    """The name of the step's pass in `foretell.engine.passes.PASSES`."""
    cost: float
    """The cost in forward passes of the minibatch, or of a single sample if `per_sample` is
    True."""
    meaning: str
    after: tuple[str, ...] = ()
    per_sample: bool = False


STEPS: dict[str, Step] = {
    "read": Step("read", 0, "the model's own tensors"),
    "count": Step("count", 0, "a forward pass of shapes only, with a FLOP counter"),
    "forward": Step("loss", 1, "one forward pass of the minibatch, keeping its graph"),
    "jacobian": Step("loss", 1, "summed outputs back to the inputs", after=("forward",)),
    "backward": Step("loss", 2, "loss back to weights and layer outputs", after=("forward",)),
    "codes": Step(
        "loss", 0.5, "agreement of codes for all pairs; grows with the batch", after=("forward",)
    ),
    "correlations": Step(
        "loss",
        0.2,
        "correlations of the channels of each activation's input; grows with the channels",
        after=("forward",),
    ),
    "few_correlations": Step(
        "loss", 0.2, "the same of eight channels drawn at random, four times", after=("forward",)
    ),
    "moments": Step(
        "loss",
        0.2,
        "covariances of the channels of each activation's output; grows with the channels",
        after=("forward",),
    ),
    "responses": Step(
        "loss",
        2,
        "summed outputs back to the activations, and correlations of all pairs of samples; these "
        "grow with the batch",
        after=("forward",),
    ),
    "attention": Step(
        "loss",
        1,
        "attention's projections and probabilities, where they are not seen; less without "
        "nn.MultiheadAttention",
        after=("forward",),
    ),
    "feed_forward": Step(
        "loss",
        3,
        "covariances of the outputs of layers that widen; none in most convolutional networks",
        after=("forward",),
    ),
    "module_correlations": Step(
        "loss",
        1,
        "correlations of the channels of each module's output for one sample",
        after=("forward",),
        per_sample=True,
    ),
    "rows": Step("loss", 0, "a few rows of the output of each layer", after=("forward",)),
    "curvature": Step("loss", 4, "tangents along the weights and back", after=("backward",)),
    "flow": Step("flow", 3, "|w| on one sample of ones, forward and back", per_sample=True),
    "reference_flow": Step(
        "reference_flow", 3, "the same with the reference's normalisations", per_sample=True
    ),
    "normed_flow": Step("normed_flow", 3, "the same with all normalisations", per_sample=True),
    "halves": Step("halves", 3, "each half of the minibatch forward and back"),
    "samples": Step("samples", 3, "each sample of the minibatch forward and back by itself"),
    "sample_outputs": Step(
        "samples",
        4,
        "each sample forward by itself, its summed outputs back, and inner products of all pairs; "
        "these grow with the batch",
    ),
    "gaussian": Step("gaussian", 2, "two forward passes with weights and inputs from N(0, 1)"),
    "patterns": Step(
        "patterns", 16, "a forward pass of 16 samples with weights from N(0, 1)", per_sample=True
    ),
    "outputs_by_weights": Step(
        "outputs_by_weights", 21, "each output of ten back to the parameters; more of more"
    ),
    "block_features": Step(
        "blocks", 1.1, "noise forward with Kaiming weights; covariances between the blocks"
    ),
    "block_gradients": Step(
        "blocks", 1.1, "random signs back through each block", after=("block_features",)
    ),
}


QUANTITIES: dict[str, Quantity] = {
    "parameters": Quantity("read", "name → parameter; tied ones once"),
    "weights": Quantity("read", "name → weight tensor (not biases or normalisations)"),
    "targets": Quantity("read", "the targets of the batch"),
    "forward_flops": Quantity("count", "FLOPs of the forward pass of one sample"),
    "used_parameters": Quantity("count", "name → parameter that some output depends on"),
    "used_flops": Quantity("count", "FLOPs of one sample that some output depends on"),
    "longest_path": Quantity("count", "largest number of weights between an input and an output"),
    "output_width": Quantity("forward", "length of the last axis of the main output"),
    "codes_kernel": Quantity("codes", "[N, N]: number of units with equal codes for a pair"),
    "input_grads": Quantity("jacobian", "[N, D]: ∂(summed output of a sample)/∂(sample)"),
    "grads": Quantity("backward", "name → ∂L/∂w; zeros if the loss does not depend on w"),
    "taylor": Quantity("backward", "layer → [N, C]: Σ over positions of a · ∂L/∂a"),
    "fan_in": Quantity("backward", "layer → number of weights per channel"),
    "activation_minima": Quantity(
        "correlations",
        "activation → [N]: the smallest eigenvalue of the correlations of its input's channels",
    ),
    "activation_draws": Quantity(
        "few_correlations", "activation → [N, 4]: the same of eight channels drawn at random"
    ),
    "activation_moments": Quantity(
        "moments",
        "activation → [1 + C, 1 + C]: Σ (1, x)(1, x)ᵀ over samples and positions of its output x",
    ),
    "response_correlations": Quantity(
        "responses",
        "for each activation, [2, N, N]: correlations between samples of its input, and of "
        "∂(summed output)/∂(its input)",
    ),
    "attention_peaks": Quantity(
        "attention", "attention → the sum of the largest probabilities of queries, and their number"
    ),
    "attention_maxima": Quantity(
        "attention",
        "layer of queries, keys or values → [N]: mean over channels of the largest output",
    ),
    "layer_roles": Quantity(
        "attention", "name of a weight → projection or output of an attention, or feed-forward"
    ),
    "feed_forward_moments": Quantity(
        "feed_forward", "feed-forward layer → Σ (1, x)(1, x)ᵀ of the output of its first layer"
    ),
    "layer_draws": Quantity(
        "few_correlations", "layer with a weight → [N, 4]: the same of its output's channels"
    ),
    "module_minima": Quantity(
        "module_correlations",
        "module → [1]: the smallest eigenvalue of the correlations of its output's channels, for "
        "the first sample",
    ),
    "module_draws": Quantity(
        "module_correlations", "module → [1, 1]: the same of eight channels drawn at random"
    ),
    "module_channels": Quantity("module_correlations", "module → number of channels of its output"),
    "layer_rows": Quantity(
        "rows", "layer, normalisation or activation → [C, C]: rows of its output of C channels"
    ),
    "hessian_weights": Quantity("curvature", "name → (H w), H being the Hessian of L"),
    "flow_weights": Quantity("flow", "name → |w|"),
    "flow_grads": Quantity("flow", "name → ∂R/∂|w| / 2**flow_exponent"),
    "flow_exponent": Quantity("flow", "the power of two that is factored out of R"),
    "reference_flow_weights": Quantity("reference_flow", "as flow_weights"),
    "reference_flow_grads": Quantity("reference_flow", "as flow_grads"),
    "reference_flow_exponent": Quantity("reference_flow", "as flow_exponent"),
    "normed_flow_weights": Quantity("normed_flow", "as flow_weights"),
    "normed_flow_grads": Quantity("normed_flow", "as flow_grads"),
    "normed_flow_exponent": Quantity("normed_flow", "as flow_exponent"),
    "half_grads": Quantity("halves", "name → [2, …]: the `grads` of each half of the minibatch"),
    "sample_signs": Quantity("samples", "name → Σ_n sign(∂L_n/∂w), L_n being a sample's loss"),
    "sample_moments": Quantity(
        "samples",
        "name → [3, …]: over samples, the mean of |g| and the variances of g and |g|",
    ),
    "sample_kernel": Quantity(
        "sample_outputs", "[N, N]: inner products of ∂(summed output of a sample)/∂(weights)"
    ),
    "feature_change": Quantity("gaussian", "mean over samples of ‖f(x) − f(x + 0.01ε)‖₁"),
    "activation_patterns": Quantity(
        "patterns", "how many codes the units have, a bit for each of the first 16 samples"
    ),
    "class_scores": Quantity("outputs_by_weights", "[N, K]: the outputs with Kaiming weights"),
    "class_score_grads": Quantity(
        "outputs_by_weights", "[N, K, P]: their derivatives by an entry of each parameter"
    ),
    "block_spectra": Quantity(
        "block_features", "for each boundary of blocks, [C]: the channels' covariance's eigenvalues"
    ),
    "block_gains": Quantity(
        "block_gradients", "[L]: how much each block amplifies signs; ∞ if it hands them on"
    ),
    "norm_variances": Quantity("gaussian", "for each BatchNorm, [C]: the variances it uses"),
}
