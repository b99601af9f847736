"""List the modules and tensors of a model, faster than torch's nested generators."""

from typing import Any

from torch import Tensor, nn

__all__ = ["modules_of", "named_buffers_of", "named_modules_of", "named_parameters_of"]


def named_modules_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """`list(model.named_modules())`: each module once, by its first name, parents first.

    >>> model = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    >>> [name for name, _ in named_modules_of(model)]
    ['', '0', '0.0', '1']
    """
    found: dict[nn.Module, str] = {}
    add_modules(model, "", found)
    return [(name, module) for module, name in found.items()]


def add_modules(module: nn.Module, name: str, found: dict[nn.Module, str]) -> None:
    """Add a module and those within it, unless they are known."""
    if type(module).named_modules is not USUAL:  # overridden by the model
        for inner, one in module.named_modules(prefix=name):
            found.setdefault(one, inner)
        return
    found[module] = name
    if parts := module._modules:
        prefix = f"{name}." if name else ""
        for leaf, part in parts.items():
            if part is not None and part not in found:
                add_modules(part, prefix + leaf, found)


USUAL = nn.Module.named_modules


def modules_of(model: nn.Module) -> list[nn.Module]:
    """`list(model.modules())`."""
    return [module for _, module in named_modules_of(model)]


def named_parameters_of(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """`list(model.named_parameters())`: each parameter once, by its first name.

    >>> layer = nn.Linear(2, 2, bias=False)
    >>> [name for name, _ in named_parameters_of(nn.Sequential(layer, nn.PReLU(), layer))]
    ['0.weight', '1.weight']
    """
    if type(model).named_parameters is not nn.Module.named_parameters:  # overridden by the model
        return list(model.named_parameters())
    return named_once(model, "_parameters")


def named_buffers_of(model: nn.Module) -> list[tuple[str, Tensor]]:
    """`list(model.named_buffers())`: each buffer once, by its first name."""
    if type(model).named_buffers is not nn.Module.named_buffers:
        return list(model.named_buffers())
    return named_once(model, "_buffers")


def named_once(model: nn.Module, kind: str) -> list[tuple[str, Any]]:
    """The tensors in this attribute of all modules, each once, under its first name."""
    found: dict[int, tuple[str, Any]] = {}
    for prefix, module in named_modules_of(model):
        if held := getattr(module, kind):
            for leaf, tensor in held.items():
                if tensor is not None:
                    found.setdefault(id(tensor), (f"{prefix}.{leaf}" if prefix else leaf, tensor))
    return list(found.values())
