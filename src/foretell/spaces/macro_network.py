"""The networks of NAS-Bench-Macro.

Su et al. 2021, arXiv:2103.11922: a 3x3 stem, stages of two, three and three layers, a 1x1
convolution that yields the features, and a linear classifier on the pooled features. The first
layer of a stage has stride two and doubles the channels.
"""

from torch import Tensor, nn

from foretell.spaces.initialise import Conv2d, Linear

__all__ = ["BLOCKS", "STAGES", "network"]

BLOCKS = ("identity", "mb3_k3", "mb6_k5")
STAGES = (2, 3, 3)
"""The number of layers in each stage."""

_EXPANSION_AND_KERNEL = {"mb3_k3": (3, 3), "mb6_k5": (6, 5)}


def network(
    arch: tuple[int, ...], *, channels: int, features: int, classes: int, in_channels: int
) -> nn.Module:
    """The network in training mode, with uninitialised convolutions and classifier.

    >>> model = network((0, 2, 0, 1, 2, 1, 0, 0), channels=2, features=4, classes=2, in_channels=1)
    >>> [name for name, _ in model.named_children()]
    ['stem', 'stage1', 'stage2', 'stage3', 'head']
    """
    model = nn.Sequential()
    model.add_module("stem", nn.Sequential(*_conv_bn(in_channels, channels, 3), nn.ReLU()))
    width, blocks = channels, iter(arch)
    for stage, layers in enumerate(STAGES, start=1):
        row = nn.Sequential(_block(next(blocks), width, 2 * width, stride=2))
        width *= 2
        for _ in range(layers - 1):
            row.append(_block(next(blocks), width, width, stride=1))
        model.add_module(f"stage{stage}", row)
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(features, classes))
    model.add_module("head", nn.Sequential(*_conv_bn(width, features, 1), *head))
    return model


def _block(choice: int, wide_in: int, wide_out: int, stride: int) -> nn.Module:
    name = BLOCKS[choice]
    if name in _EXPANSION_AND_KERNEL:
        return _InvertedResidual(wide_in, wide_out, stride, *_EXPANSION_AND_KERNEL[name])
    if stride == 1:
        return nn.Identity()
    return nn.Sequential(*_conv_bn(wide_in, wide_out, 1, stride))


class _InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise convolution, project; residual if the shapes agree."""

    def __init__(
        self, wide_in: int, wide_out: int, stride: int, expansion: int, kernel: int
    ) -> None:
        super().__init__()
        inner = expansion * wide_in
        self.expand = nn.Sequential(*_conv_bn(wide_in, inner, 1), nn.ReLU())
        self.depthwise = nn.Sequential(
            *_conv_bn(inner, inner, kernel, stride, groups=inner), nn.ReLU()
        )
        self.project = nn.Sequential(*_conv_bn(inner, wide_out, 1))
        self.residual = stride == 1 and wide_in == wide_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


def _conv_bn(
    wide_in: int, wide_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    convolution = Conv2d(wide_in, wide_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(wide_out)
