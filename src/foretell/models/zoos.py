"""Image classifiers of torchvision, timm and pytorchcv by name.

Each zoo has three functions: one lists its names, one says what images a model states it wants,
one builds it. `image_size=` is the same setting for all, whatever the zoo calls it.
"""

import inspect
import re
from functools import cache
from typing import Any

import torch
from torch import nn

from foretell.errors import ForetellError
from foretell.models.python import made
from foretell.models.specs import Like, Wanted
from foretell.names import extra

__all__ = [
    "from_pytorchcv",
    "from_timm",
    "from_torchvision",
    "pytorchcv_names",
    "pytorchcv_wants",
    "timm_names",
    "timm_wants",
    "torchvision_names",
    "torchvision_wants",
]

Settings = dict[str, Any]
NO_CLASSIFIERS = ("pfpcnet", "propainter", "raft", "superpointnet")
"""Of pytorchcv, beside those whose description says what else they are for."""


def split(settings: Settings, like: Like) -> tuple[Settings, int | None, bool]:
    """What is the zoo's own, the image size, and whether pretrained weights are wanted."""
    own = dict(settings)
    size, pretrained = own.pop("image_size", None), own.pop("pretrained", like.pretrained)
    if size is not None and (not isinstance(size, int) or size < 1):
        raise ForetellError(f"image_size is {size!r}; give pixels, such as image_size=224")
    return own, size, bool(pretrained)


def from_torchvision(name: str, settings: Settings, like: Like) -> nn.Module:
    """A classifier of torchvision; it takes three channels."""
    zoo = extra("torchvision.models", "torchvision")
    own, size, pretrained = split(settings, like)
    fitting: Settings = {"weights": "DEFAULT"} if pretrained else {"num_classes": like.classes}
    if size is not None and name.startswith("vit_"):
        fitting["image_size"] = size
    if size is not None and name.startswith("maxvit"):
        fitting["input_size"] = (size, size)
    if name in ("googlenet", "inception_v3") and not pretrained:
        fitting["init_weights"] = True  # as it is by default, said aloud: else it warns
    builder = zoo.get_model_builder(name)
    return made(f"torchvision:{name}", builder, fitting | own, pretrained)


def torchvision_names() -> list[str]:
    """Its classifiers."""
    zoo = extra("torchvision.models", "torchvision")
    return list(zoo.list_models(module=zoo))


def torchvision_wants(name: str, settings: Settings, like: Like) -> Wanted:
    """The size that its published weights are evaluated at; a ViT without them is built for 224."""
    zoo = extra("torchvision.models", "torchvision")
    _, size, pretrained = split(settings, like)
    if size is None:
        own_size = zoo.get_model_weights(name).DEFAULT.transforms().crop_size[0]
        size = 224 if name.startswith("vit_") and not pretrained else own_size
    return Wanted("image", (3, size, size))


def from_timm(name: str, settings: Settings, like: Like) -> nn.Module:
    """A model of timm, with as many channels and classes as the data has."""
    zoo = extra("timm", "timm")
    own, size, pretrained = split(settings, like)
    fitting = {"num_classes": like.classes, "in_chans": like.shape[0], "pretrained": pretrained}
    if size is not None and zoo.get_pretrained_cfg(name).fixed_input_size:
        fitting["img_size"] = size
    return made(f"timm:{name}", zoo.create_model, {"model_name": name} | fitting | own, pretrained)


def timm_names() -> list[str]:
    """Its architectures."""
    return list(extra("timm", "timm").list_models())


def timm_wants(name: str, settings: Settings, like: Like) -> Wanted:
    """The input size of its default configuration."""
    try:
        config = extra("timm", "timm").get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ForetellError(f"timm:{name}: {error}; leave out what is behind the dot") from error
    _, size, _ = split(settings, like)
    height, width = config.input_size[1:] if size is None else (size, size)
    return Wanted("image", (settings.get("in_chans", like.shape[0]), height, width))


def from_pytorchcv(name: str, settings: Settings, like: Like) -> nn.Module:
    """A classifier of pytorchcv, with as many channels and classes as the data has.

    Those for CIFAR, SVHN and CUB keep their own number of classes.
    """
    zoo = extra("pytorchcv.model_provider", "pytorchcv")
    own, size, pretrained = split(settings, like)
    fitting: Settings = {"pretrained": pretrained}
    if not pretrained:
        fitting["in_channels"] = like.shape[0]
        fitting |= {} if "num_classes" in own else {"num_classes": classes_of(name, like)}
    if size is not None:
        fitting["in_size"] = (size, size)
    return made(f"pytorchcv:{name}", zoo.get_model, {"name": name} | fitting | own, pretrained)


def classes_of(name: str, like: Like) -> int:
    """As many as the data has; those for CIFAR, SVHN and CUB insist on their own number."""
    builder = extra("pytorchcv.model_provider", "pytorchcv")._models[name]
    insisting = inspect.signature(builder).parameters.get("num_classes")
    if insisting is None:
        return like.classes
    if like.classes > insisting.default:
        raise ForetellError(
            f"pytorchcv:{name} always has {insisting.default} outputs and the data has "
            f"{like.classes} classes; take a model for more"
        )
    return int(insisting.default)


@cache
def pytorchcv_names() -> list[str]:
    """Its classifiers of ImageNet, CIFAR, SVHN and CUB, told by how it describes them."""
    found = []
    for name, builder in extra("pytorchcv.model_provider", "pytorchcv")._models.items():
        described = " ".join((builder.__doc__ or "").split()).partition("'")[0]
        other = re.search(r" (for|on) (?!CIFAR|SVHN|CUB|ImageNet)", described)
        if not other and not name.startswith(NO_CLASSIFIERS):
            found.append(name)
    return sorted(found)


def pytorchcv_wants(name: str, settings: Settings, like: Like) -> Wanted:
    """The `in_size` that the built model carries; it is built without memory to read it."""
    _, size, pretrained = split(settings, like)
    if size is None:
        with torch.device("meta"):
            model = from_pytorchcv(name, settings | {"pretrained": False}, like)
        height, width = (int(side) for side in model.in_size)  # type: ignore[union-attr]
    else:
        height = width = size
    channels = 3 if pretrained else settings.get("in_channels", like.shape[0])
    return Wanted("image", (channels, height, width))
