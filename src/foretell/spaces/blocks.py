"""Modules that the networks of several spaces share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.spaces.initialise import Conv2d

__all__ = ["FactorizedReduce", "Residual", "relu_conv_bn"]


def relu_conv_bn(wide_in: int, wide_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, a convolution without bias that is padded to keep the size, and BatchNorm."""
    convolution = Conv2d(wide_in, wide_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(wide_out))


class FactorizedReduce(nn.Module):
    """A skip that changes the size: ReLU, two 1x1 convolutions side by side, and BatchNorm.

    The second convolution sees the image shifted by one pixel, so that a stride of two leaves out
    no more than half of the pixels.
    """

    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        half = wide_out // 2
        self.even = Conv2d(wide_in, half, 1, stride, bias=False)
        self.odd = Conv2d(wide_in, wide_out - half, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(wide_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, wide_out, H / stride, W / stride], rounded up."""
        x = x.relu()
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        out: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))
        return out


class Residual(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, x: Tensor) -> Tensor:
        """Map any tensor to the same shape."""
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + out
