"""The modules of a model, found by a loop instead of torch's nested generators."""

from torch import nn

__all__ = ["modules_of", "named_modules_of"]


def named_modules_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """`list(model.named_modules())`: each module once, by its first name, parents first.

    >>> model = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    >>> [name for name, _ in named_modules_of(model)]
    ['', '0', '0.0', '1']
    """
    found: dict[nn.Module, str] = {}
    waiting: list[tuple[str, nn.Module]] = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if module in found:
            continue
        if type(module).named_modules is not nn.Module.named_modules:  # overridden by the model
            for inner, one in module.named_modules(prefix=name):
                found.setdefault(one, inner)
            continue
        found[module] = name
        prefix = f"{name}." if name else ""
        children = module._modules
        if children:
            parts = [
                (prefix + leaf, child) for leaf, child in children.items() if child is not None
            ]
            waiting.extend(reversed(parts))
    return [(name, module) for module, name in found.items()]


def modules_of(model: nn.Module) -> list[nn.Module]:
    """`list(model.modules())`."""
    return [module for _, module in named_modules_of(model)]
