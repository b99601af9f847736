"""Determine which parameters of a model are weights.

A weight multiplies a signal. Biases, the affine parameters of normalisations, slopes of PReLU,
class tokens and layer scales do not count. Neither do frozen parameters, since training does not
change them. If a weight is computed from other parameters, as by weight_norm, spectral_norm or
torch.nn.utils.parametrize, those that the optimiser moves are weights; the norms of weight_norm are
not.
"""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import ParametrizationList

from foretell.engine.modules import named_modules_of
from foretell.errors import ForetellError

__all__ = ["Layers", "Role", "counted_weights", "roles"]

Layers = Literal["all", "conv2d_linear"]
Role = Literal["weight", "scale", "shift", "other"]

_WEIGHTED = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)
_UNWEIGHTED = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.PReLU,
)


def counted_weights(model: nn.Module, layers: Layers = "all") -> dict[str, Tensor]:
    """The trainable weights by name, in the order of the model; a tied weight counts once.

    `layers="all"` means `weight*` of convolutions, linear, bilinear, embedding, recurrent and
    attention layers, and in any other module except normalisations, parameters that have at least
    two dimensions larger than one and no "bias" in their names. `layers="conv2d_linear"` means only
    `weight` of nn.Conv2d and nn.Linear, as in the code of arXiv:2101.08134.

    >>> list(counted_weights(nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), nn.PReLU())))
    ['0.weight']
    """
    counts = _counts if layers == "all" else _counts_in_reference
    return {
        name: parameter
        for name, owner, leaf, parameter in _owned(model)
        if parameter.requires_grad and counts(owner, leaf, parameter)
    }


def roles(model: nn.Module, layers: Layers = "all") -> dict[str, Role]:
    """The role of each parameter by name, including frozen parameters.

    Weights are defined as in `counted_weights`. The affine parameters of normalisations are scales
    and shifts; all other biases are shifts, too. Slopes, tokens and the like are "other".

    >>> roles(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    {'0.weight': 'weight', '0.bias': 'shift', '1.weight': 'scale', '1.bias': 'shift'}
    """
    counts = _counts if layers == "all" else _counts_in_reference
    return {
        name: "weight" if counts(owner, leaf, parameter) else _role(owner, leaf)
        for name, owner, leaf, parameter in _owned(model)
    }


def _role(owner: nn.Module, leaf: str) -> Role:
    if "bias" in leaf:
        return "shift"
    if isinstance(owner, _UNWEIGHTED) and not isinstance(owner, nn.PReLU):
        return "scale"
    return "other"


def _owned(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Yield each parameter once: its full name, its module, its name there, and the parameter.

    Parameters that a parametrization computes a weight from belong to the module with the weight.
    """
    seen: set[int] = set()
    modules = dict(named_modules_of(model))
    for prefix, module in modules.items():
        for leaf, parameter in module._parameters.items():
            if parameter is None or id(parameter) in seen:
                continue
            if nn.parameter.is_lazy(parameter):
                raise ForetellError(
                    f"{type(module).__name__} {prefix or 'itself'!r} has no shape yet; "
                    "run one batch through the model first"
                )
            if parameter.is_complex():
                raise ForetellError(
                    f"{type(module).__name__} {prefix or 'itself'!r} has complex parameters; "
                    "scores are defined only for real parameters, so give a real-valued model"
                )
            seen.add(id(parameter))
            full = f"{prefix}.{leaf}" if prefix else leaf
            if isinstance(module, ParametrizationList):
                owner, _, own = prefix.rpartition("parametrizations.")
                norm = leaf == "original0" and isinstance(module[0], _WeightNorm)
                yield full, modules[owner.removesuffix(".")], own + "_g" * norm, parameter
            else:
                yield full, module, leaf, parameter


def _counts(owner: nn.Module, leaf: str, parameter: Tensor) -> bool:
    if isinstance(owner, _UNWEIGHTED) or "bias" in leaf:
        return False
    if isinstance(owner, _WEIGHTED) and "weight" in leaf and not leaf.endswith("_g"):
        return True
    return sum(size > 1 for size in parameter.shape) >= 2


def _counts_in_reference(owner: nn.Module, leaf: str, _: Tensor) -> bool:
    named = leaf in ("weight", "weight_v", "weight_orig")  # the last two by hooks of torch
    return isinstance(owner, nn.Conv2d | nn.Linear) and named
