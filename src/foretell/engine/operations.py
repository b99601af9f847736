"""Families of torch's operations, and functions that read their arguments.

An operation with a single form is identified by the function that torch passes to an observer, and
one with several forms (`torch.add`, `Tensor.add`, `+`) by its name. Each observer defines how it
handles a family.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    *("ARITHMETIC", "AVERAGES", "BATCH_NORMS", "CONTRACTIONS", "CONVOLUTIONS", "DIVISIONS"),
    *("DRAWING", "DROPOUTS", "INTERNAL", "JOINS", "MAPS_TO_ONE", "MEANS", "NORMS", "POOLS"),
    *("POINTWISE", "PRODUCTS", "RECURRENT", "REARRANGEMENTS", "SUMS", "TRANSPOSED", "WEIGHT_AT"),
    *("NormCall", "contracted", "in_place", "origin", "out_of_place", "random_state"),
    *("same_randomness", "words"),
]

Function = Callable[..., Any]


def words(text: str) -> frozenset[str]:
    """The set of words in a text.

    >>> sorted(words("mul add"))
    ['add', 'mul']
    """
    return frozenset(text.split())


# Layers

TRANSPOSED: set[Function] = {
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
}

CONVOLUTIONS: set[Function] = {torch.conv1d, torch.conv2d, torch.conv3d} | TRANSPOSED

CONTRACTIONS: set[Function] = CONVOLUTIONS | {F.linear}
"""f(input, weight, bias): linear in the input and the bias together."""

WEIGHT_AT: dict[Function, int] = {
    **dict.fromkeys(CONVOLUTIONS, 1),
    F.linear: 1,
    F.bilinear: 2,
    F.embedding: 1,
    F.multi_head_attention_forward: 11,
}
"""The position of the weight among the arguments."""

RECURRENT = words("lstm gru rnn_tanh rnn_relu")
"""Operations that process a whole sequence."""

INTERNAL = words(
    "convolution _convolution native_batch_norm native_layer_norm native_group_norm _softmax "
    "_native_batch_norm_legit cudnn_batch_norm cudnn_convolution _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d mkldnn_convolution"
)
"""Operations that torch runs inside of layers, normalisations, poolings and softmax."""

# Normalisation and dropout

NORMS: set[Function] = {
    *(F.batch_norm, F.layer_norm, F.group_norm, F.instance_norm, F.rms_norm),
    *(torch.batch_norm, torch.layer_norm, torch.group_norm, torch.instance_norm, torch.rms_norm),
    F.local_response_norm,
}

DROPOUTS: set[Function] = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d}
"""Operations that are linear for a given mask."""

DRAWING = words(
    "dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout feature_alpha_dropout "
    "rrelu rand_like randn_like randint_like empty_like bernoulli "
    "normal_ uniform_ exponential_ random_ log_normal_ cauchy_"
)
"""Operations that draw random numbers in memory order; some have an in-place form (`dropout_`)."""

# Arithmetic

SUMS = {"add": 1, "__add__": 1, "__radd__": 1, "sub": -1, "__sub__": -1}
"""Sums and differences, with the sign of the second term."""

POINTWISE = words("mul multiply __mul__ __rmul__")

PRODUCTS = POINTWISE | words("matmul __matmul__ bmm mm")
"""Operations that are linear in each of two factors."""

DIVISIONS = words("div div_ __truediv__ __itruediv__ true_divide")

ARITHMETIC = (
    POINTWISE
    | SUMS.keys()
    | words("rsub div __rsub__ __truediv__ __imul__ __iadd__ __isub__ __itruediv__")
)
"""Elementwise sums, products and quotients, in place or not."""

# Operations that move, average or select values

REARRANGEMENTS = words(
    "view reshape flatten permute transpose movedim squeeze unsqueeze contiguous clone expand "
    "repeat chunk split unbind narrow roll __getitem__ swapaxes select flip"
)

AVERAGES = words(
    "mean sum avg_pool1d avg_pool2d avg_pool3d "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
)

JOINS = words("cat concat stack")

MAPS_TO_ONE: set[Function] = {F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d}

POOLS: set[Function] = {F.avg_pool1d, F.avg_pool2d, F.avg_pool3d}

MEANS: set[Function] = {torch.mean, Tensor.mean}


@dataclass(frozen=True)
class NormCall:
    """The arguments of F.batch_norm, whether given by position or by name."""

    input: Tensor
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5


def torch_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> NormCall:
    """The call of F.batch_norm that is equivalent to torch.batch_norm with these arguments."""
    return NormCall(input, running_mean, running_var, weight, bias, training, momentum, eps)


BATCH_NORMS: dict[Function, Callable[..., NormCall]] = {
    F.batch_norm: NormCall,
    torch.batch_norm: torch_batch_norm,
}
"""Batch normalisations, and the functions that read their arguments."""


def contracted(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor | None, tuple[Any, ...], dict[str, Any]]:
    """The input, weight and bias of a contraction, and its other arguments, given in any way."""
    others = dict(kwargs)
    names = ("input", "weight", "bias")
    x, weight, bias = (
        args[place] if len(args) > place else others.pop(name, None)
        for place, name in enumerate(names)
    )
    return x, weight, bias, args[3:], others


def in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the operation overwrites its first argument.

    >>> in_place("relu_", (), {}), in_place("relu", (), {}), in_place("__iadd__", (), {})
    (True, False, True)
    """
    if name.startswith("__i") and name not in ("__index__", "__int__", "__invert__"):
        return True
    if name.endswith("_") and not name.endswith("__"):
        return name not in ("requires_grad_", "retain_grad_")
    return bool(kwargs.get("inplace")) or name == "__setitem__"


def out_of_place(
    func: Any, name: str, kwargs: dict[str, Any]
) -> tuple[Any, str, dict[str, Any]] | None:
    """The out-of-place form of an in-place operation; None if there is none.

    >>> out_of_place(torch.relu_, "relu_", {})[1], out_of_place(Tensor.mul_, "mul_", {})[1]
    ('relu', 'mul')
    """
    if kwargs.get("inplace"):
        return func, name, {**kwargs, "inplace": False}
    plain = f"__{name[3:]}" if name.startswith("__i") else name.removesuffix("_")
    apart = getattr(Tensor, plain, None) or getattr(F, plain, None)
    return None if apart is None else (apart, plain, kwargs)


def origin(output: Tensor) -> Tensor:
    """The tensor to hook for the gradient of an output, even if the output is overwritten later.

    A linear layer returns a view of a matrix product; overwriting a view would lose its hooks.
    """
    base = output._base
    if base is None or base.grad_fn is None or base.numel() != output.numel():
        return output
    return base if base.is_contiguous() and output.is_contiguous() else output


def random_state(given: Sequence[Tensor]) -> dict[torch.device, Tensor]:
    """The states of the generators that an operation on these tensors might draw from."""
    states = {torch.device("cpu"): torch.get_rng_state()}
    for device in {tensor.device for tensor in given if tensor.is_cuda}:
        states[device] = torch.cuda.get_rng_state(device)
    return states


@contextmanager
def same_randomness(before: dict[torch.device, Tensor]) -> Iterator[None]:
    """Within the block, repeat the random numbers of the operation; then restore the generators."""
    after = random_state([]) if before else {}
    drew = any(not torch.equal(before[device], state) for device, state in after.items())
    drew = drew or len(before) > 1
    with torch.random.fork_rng([d for d in before if d.type == "cuda"], enabled=drew):
        if drew:
            for device, state in before.items():
                torch.set_rng_state(state) if device.type == "cpu" else torch.cuda.set_rng_state(
                    state, device
                )
        yield
