"""The networks of tests/golden/naslib.json, rebuilt from its rows."""

from typing import Any

import torch
from torch import Tensor, nn

Row = dict[str, Any]


def small_vgg(classes: int) -> nn.Module:
    """Stacked convolutions with and without BatchNorm, and four activations with a kink at 0."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.LeakyReLU(0.1)),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, 32), nn.PReLU()),
        nn.Linear(32, classes),
    )


def rebuild(row: Row, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    """The untrained network of a row, its images and its labels."""
    source, _, name = row["model"].partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(row["model_seed"])
        if source == "small_vgg":
            model = small_vgg(row["num_classes"])
        else:
            import torchvision

            model = torchvision.models.get_model(name, weights=None, num_classes=row["num_classes"])
    generator = torch.Generator().manual_seed(row["data_seed"])
    images = torch.randn(row["batch"], 3, row["size"], row["size"], generator=generator)
    labels = torch.randint(0, row["labels"], (row["batch"],), generator=generator)
    return model.train().to(dtype), images.to(dtype), labels
