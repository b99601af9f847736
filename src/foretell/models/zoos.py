"""Image classifiers of torchvision, timm and pytorchcv by name.

For each zoo, there are three functions: one lists the names, one returns the input that a model
expects, and one builds the model. The setting `image_size=` has the same name for all zoos, even if
a zoo uses another one.
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
"""Models of pytorchcv that are not classifiers, although their descriptions do not say so."""


def split(settings: Settings, like: Like) -> tuple[Settings, int | None, bool]:
    """The settings for the zoo itself, the image size, and whether to load pretrained weights."""
    own = dict(settings)
    size, pretrained = own.pop("image_size", None), own.pop("pretrained", like.pretrained)
    if size is not None and (not isinstance(size, int) or size < 1):
        raise ForetellError(
            f"image_size is {size!r}; give a number of pixels, such as image_size=224"
        )
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
        fitting["init_weights"] = True  # the default; without it, there is a warning
    builder = zoo.get_model_builder(name)
    return made(f"torchvision:{name}", builder, fitting | own, pretrained)


def torchvision_names() -> list[str]:
    """The names of the classifiers of torchvision."""
    zoo = extra("torchvision.models", "torchvision")
    return list(zoo.list_models(module=zoo))


def torchvision_wants(name: str, settings: Settings, like: Like) -> Wanted:
    """Images of the size at which the weights are evaluated; 224 for a ViT without weights."""
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
    """The names of the models of timm."""
    return list(extra("timm", "timm").list_models())


def timm_wants(name: str, settings: Settings, like: Like) -> Wanted:
    """Images of the size in the default configuration of the model."""
    try:
        config = extra("timm", "timm").get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ForetellError(f"timm:{name}: {error}; leave out the part after the dot") from error
    _, size, _ = split(settings, like)
    height, width = config.input_size[1:] if size is None else (size, size)
    return Wanted("image", (settings.get("in_chans", like.shape[0]), height, width))


def from_pytorchcv(name: str, settings: Settings, like: Like) -> nn.Module:
    """A classifier of pytorchcv, with as many channels and classes as the data has.

    Models for CIFAR, SVHN and CUB keep their own number of classes.
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
    """The number of outputs: the number of classes, or the fixed number of the model."""
    builder = extra("pytorchcv.model_provider", "pytorchcv")._models[name]
    fixed = inspect.signature(builder).parameters.get("num_classes")
    if fixed is None:
        return like.classes
    if like.classes > fixed.default:
        raise ForetellError(
            f"pytorchcv:{name} always has {fixed.default} outputs and the data has "
            f"{like.classes} classes; choose a model with more outputs"
        )
    return int(fixed.default)


@cache
def pytorchcv_names() -> list[str]:
    """The names of the classifiers for ImageNet, CIFAR, SVHN and CUB, by their descriptions."""
    found = []
    for name, builder in extra("pytorchcv.model_provider", "pytorchcv")._models.items():
        described = " ".join((builder.__doc__ or "").split()).partition("'")[0]
        other = re.search(r" (for|on) (?!CIFAR|SVHN|CUB|ImageNet)", described)
        if not other and not name.startswith(NO_CLASSIFIERS):
            found.append(name)
    return sorted(found)


def pytorchcv_wants(name: str, settings: Settings, like: Like) -> Wanted:
    """Images of the size `in_size` of the model, which is built on the meta device to read it."""
    _, size, pretrained = split(settings, like)
    if size is None:
        with torch.device("meta"):
            model = from_pytorchcv(name, settings | {"pretrained": False}, like)
        height, width = (int(side) for side in model.in_size)  # type: ignore[union-attr]
    else:
        height = width = size
    channels = 3 if pretrained else settings.get("in_channels", like.shape[0])
    return Wanted("image", (channels, height, width))
