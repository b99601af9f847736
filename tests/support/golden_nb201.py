"""The networks of tests/golden/nb201_reference.json, rebuilt from its rows."""

from typing import Any

import torch
from torch import Tensor, nn

from foretell.spaces import NASBench201
from tests.support import paths

GOLDEN = paths.GOLDEN / "nb201_reference.json"
MEASURES = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacob_cov")
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def rebuild(row: dict[str, Any]) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, images and labels of a golden row.

    Weights, recipe "sorted-normal": one generator seeded with `weight_seed`; in the order of the
    sorted parameter names, z is drawn N(0, 1) in float32. A parameter of two or more dimensions
    is z / sqrt(fan-in), another bias is 0.1 z, another weight (of a BatchNorm) is 1 + 0.1 z.
    Data: a generator seeded with `data_seed` draws N(0, 1) images, then labels.
    float64 rows convert the float32 numbers.
    """
    space = NASBench201(variant="reference")
    model = space.build(space.parse(row["arch"]), seed=0)
    generator = torch.Generator().manual_seed(row["weight_seed"])
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            drawn = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() >= 2:
                parameter.copy_(drawn * parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(0.1 * drawn + (1 if name.endswith("weight") else 0))
    generator.manual_seed(row["data_seed"])
    shape = (space.in_channels, space.resolution, space.resolution)
    images = torch.randn(row["batch"], *shape, generator=generator)
    labels = torch.randint(space.classes, (row["batch"],), generator=generator)
    dtype = DTYPES[row["dtype"]]
    return model.to(dtype), images.to(dtype), labels
