"""The labelled image data sets of torchvision, downloaded only with the user's consent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from foretell.data.arrays import from_array
from foretell.data.lazy import Found, LazyImages, assemble, check_labels
from foretell.data.pictures import common_shape, from_pictures
from foretell.data.splits import Splits
from foretell.errors import ForetellError
from foretell.names import extra

__all__ = ["KNOWN", "from_torchvision_set"]

Parts = Mapping[str, Mapping[str, Any]]
BY_TRAIN: Parts = {"train": {"train": True}, "test": {"train": False}}
BY_SPLIT: Parts = {"train": {"split": "train"}, "test": {"split": "test"}}
THREE: Parts = {**BY_SPLIT, "val": {"split": "val"}}


@dataclass(frozen=True)
class Known:
    """A data set of torchvision: its class, and the arguments for each split."""

    maker: str
    summary: str
    source: str
    parts: Parts = field(default_factory=lambda: BY_SPLIT)


KNOWN = {
    "cifar10": Known("CIFAR10", "Objects, 32x32, 10 classes.", "Krizhevsky 2009", BY_TRAIN),
    "cifar100": Known("CIFAR100", "Objects, 32x32, 100 classes.", "Krizhevsky 2009", BY_TRAIN),
    "svhn": Known("SVHN", "House numbers, 32x32, 10 classes.", "Netzer et al. 2011"),
    "mnist": Known("MNIST", "Handwritten digits, 28x28 grey.", "LeCun et al. 1998", BY_TRAIN),
    "fashionmnist": Known(
        "FashionMNIST", "Clothes, 28x28 grey, 10 classes.", "Xiao et al. 2017", BY_TRAIN
    ),
    "kmnist": Known("KMNIST", "Cursive Japanese, 28x28 grey.", "Clanuwat et al. 2018", BY_TRAIN),
    "usps": Known("USPS", "Postal digits, 16x16 grey.", "Hull 1994", BY_TRAIN),
    "stl10": Known("STL10", "Objects, 96x96, 10 classes.", "Coates et al. 2011"),
    "gtsrb": Known("GTSRB", "Traffic signs, 43 classes.", "Houben et al. 2013"),
    "food101": Known("Food101", "Dishes, 101 classes.", "Bossard et al. 2014"),
    "flowers102": Known("Flowers102", "Flowers, 102 classes.", "Nilsback 2008", THREE),
    "dtd": Known("DTD", "Textures, 47 classes.", "Cimpoi et al. 2014", THREE),
    "aircraft": Known("FGVCAircraft", "Aircraft, 100 classes.", "Maji et al. 2013", THREE),
    "pets": Known(
        "OxfordIIITPet",
        "Cats and dogs, 37 classes.",
        "Parkhi et al. 2012",
        {"train": {"split": "trainval"}, "test": {"split": "test"}},
    ),
    "eurosat": Known(
        "EuroSAT", "Satellite images, 64x64, 10 classes.", "Helber et al. 2019", {"train": {}}
    ),
}


def from_torchvision_set(
    name: str,
    *,
    root: str = "data",
    download: bool = False,
    size: int | None = None,
    held_out: float = 0.1,
) -> Splits:
    """The data set of this name in the folder `root`, as stored by torchvision.

    If the data set has no validation split, it is taken from the training split.
    """
    sets = extra("torchvision.datasets", "torchvision")
    known = KNOWN[name]
    parts: Found = {}
    note = ""
    for part, wanted in known.parts.items():
        dataset = found(partial(getattr(sets, known.maker), **wanted), name, root, download)
        if hasattr(dataset, "data"):
            images = from_array(dataset.data, f"the {part} split of {name}")
        else:
            images, note = opened_set(dataset, f"{name} {part}", size, parts)
        parts[part] = images, labels_of(dataset)
    classes = check_labels(torch.cat([labels for _, labels in parts.values()]), None, name)
    return assemble(name, parts, classes, held_out, note)


def found(make: partial[Any], name: str, root: str, download: bool) -> Any:
    """Open a data set. Raises ForetellError if it is missing and is not downloaded."""
    try:
        return make(root=root, download=download)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        if download:
            raise ForetellError(f"{name} cannot be downloaded to {root!r} ({reason})") from error
        raise ForetellError(
            f"{name} cannot be read from {root!r} ({reason.partition(' You can')[0]}); give its "
            "folder with root=FOLDER, or allow the download with download=true"
        ) from error


def opened_set(dataset: Any, source: str, size: int | None, parts: Found) -> tuple[LazyImages, str]:
    """The images of a data set of files, all converted to the shape of its training split."""

    def open_(number: int) -> Any:
        return dataset[number][0]

    if "train" in parts:
        channels, height, width = parts["train"][0].size
        shape, note = (channels, height, width), ""
    else:
        shape, note = common_shape(open_, len(dataset), size, 3, source)
    return from_pictures(open_, len(dataset), shape, lambda: f"torchvision {source}"), note


def labels_of(dataset: Any) -> Tensor:
    """All labels, without opening images if the data set stores the labels separately."""
    for name in ("targets", "labels", "_labels"):
        if hasattr(dataset, name):
            return torch.as_tensor(getattr(dataset, name), dtype=torch.int64)
    samples = getattr(dataset, "_samples", None)
    pairs = samples if samples is not None else dataset
    return torch.tensor([label for _, label in pairs], dtype=torch.int64)
