"""Draw weights for ReLU networks from a separate generator.

He et al. 2015, arXiv:1502.01852: N(0, 2 / fan-in), which keeps the variance from layer to layer.
"""

import torch
from torch import Generator, Tensor, nn

from foretell.engine.modules import named_buffers_of, named_modules_of, named_parameters_of
from foretell.engine.weights import Layers, roles

__all__ = ["double_or_float", "kaiming_model", "normal_like", "own_tensors"]

TABLES = (nn.Embedding, nn.EmbeddingBag)
"""Layers whose weights are looked up instead of multiplied, and keep their values."""


def kaiming_model(
    model: nn.Module, layers: Layers, generator: Generator, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The model's tensors, with weights drawn from N(0, 2 / fan-in), scales 1 and shifts 0.

    The fan-in is the number of weights per output. Embedding tables, buffers such as running
    statistics, and parameters that are neither weights, scales nor shifts keep their values.
    """
    drawn = own_tensors(model, dtype)
    kept = {
        f"{prefix}.weight" if prefix else "weight"
        for prefix, module in named_modules_of(model)
        if isinstance(module, TABLES)
    }
    for name, role in roles(model, layers).items():
        if role == "weight" and name not in kept:
            fan_in = max(1, drawn[name][0].numel()) if drawn[name].ndim else 1
            drawn[name] = normal_like(drawn[name], generator, dtype) * (2 / fan_in) ** 0.5
        elif role in ("scale", "shift"):
            drawn[name] = torch.full_like(drawn[name], 1.0 if role == "scale" else 0.0)
    return drawn


def own_tensors(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """The model's buffers and parameters by name; floating-point ones are converted to `dtype`."""
    return {
        name: tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach()
        for name, tensor in (*named_buffers_of(model), *named_parameters_of(model))
    }


def normal_like(tensor: Tensor, generator: Generator, dtype: torch.dtype) -> Tensor:
    """N(0, 1) in the shape of a floating-point tensor; any other tensor is returned unchanged."""
    if not tensor.is_floating_point():
        return tensor
    drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float32, device="cpu")
    return drawn.to(tensor.device, dtype)


def double_or_float(model: nn.Module) -> torch.dtype:
    """float64 if the model has such parameters, otherwise float32, even for half precision."""
    double = any(parameter.dtype == torch.float64 for parameter in model.parameters())
    return torch.float64 if double else torch.float32
