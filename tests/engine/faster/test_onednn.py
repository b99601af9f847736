"""No gradient of a strided 1×1 convolution is asked of oneDNN in the layout that it gets wrong."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foretell import TrainSettings, score
from foretell.data import load_data
from foretell.engine.faster.onednn import in_safe_layout, is_unsafe
from foretell.proxies import PROXIES
from foretell.training.train import train
from tests.support.models import CLASSES, make


class Backward(TorchDispatchMode):
    """Lists the strided 1×1 convolutions of few channels whose gradients are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layouts: list[bool] = []

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.convolution_backward.default and args[-1][1]:
            _, x, weight, _, stride, *_ = args
            pointwise = weight.shape[2:].numel() == 1 and x.ndim == 4
            by_onednn = x.dtype == torch.float32
            if by_onednn and pointwise and max(stride) > 1 and weight.shape[1] < 16:
                self.layouts.append(plain(x) and plain(weight))
        return func(*args, **(kwargs or {}))


def plain(tensor: Tensor) -> bool:
    """Whether the strides are those of the original layout."""
    return tensor.stride() == torch.empty(tensor.shape).stride()


def small(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), *more]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(input=x, weight=self.weight, stride=(2, 2))


STRIDED = {
    "module": lambda: small(nn.Conv2d(4, 12, 1, stride=2)),
    "functional": lambda: small(Functional()),
    "skip": lambda: small(nn.Identity(), nn.Conv2d(4, 12, 1, stride=2, bias=False)),
    "grouped": lambda: small(nn.Conv2d(4, 12, 1, stride=3, groups=2)),
}


@pytest.mark.parametrize("faster", [True, False], ids=["faster", "plain"])
@pytest.mark.parametrize("owned", [True, False], ids=["channels_last", "contiguous"])
@pytest.mark.parametrize("name", STRIDED)
def test_no_score_asks_for_it(name: str, owned: bool, faster: bool) -> None:
    x, y = torch.randn(6, 3, 8, 8), torch.randint(CLASSES, (6,))
    model = STRIDED[name]()
    if owned:
        model, x = (
            model.to(memory_format=torch.channels_last),
            x.to(memory_format=torch.channels_last),
        )
    with Backward() as seen:
        score(model, (x, y), list(PROXIES), faster=faster)
    assert seen.layouts
    assert all(seen.layouts)


@pytest.mark.parametrize("name", ["cells", "residual", "squeeze_excite"])
def test_no_score_of_the_models_of_the_laws_asks_for_it(name: str) -> None:
    model, batch = make(name)
    with Backward() as seen:
        score(model, batch, list(PROXIES))
    assert all(seen.layouts)


@pytest.mark.parametrize("name", ["module", "skip"])
def test_nor_does_a_training(name: str) -> None:
    splits = load_data("digits")
    model = STRIDED[name]()
    model[0] = nn.Conv2d(splits.train[0].shape[1], 4, 3, padding=1)
    model[-1] = nn.Linear(12, splits.classes)
    with Backward() as seen:
        train(model, splits, TrainSettings(epochs=1, batch_size=512), seed=0)
    assert seen.layouts
    assert all(seen.layouts)


def test_which_convolutions_are_unsafe() -> None:
    def unsafe(*shape: int, stride: Any = 2, channels: int | None = None) -> bool:
        return is_unsafe(torch.ones(2, channels or shape[1], 6, 6), torch.ones(shape), stride)

    assert unsafe(8, 4, 1, 1)
    assert unsafe(8, 15, 1, 1, stride=(1, 2))
    assert unsafe(8, 4, 1, 1, channels=16)
    assert not unsafe(8, 16, 1, 1)
    assert not unsafe(8, 4, 1, 1, stride=[1, 1])
    assert not unsafe(8, 4, 3, 3)


def test_the_layout_is_told_by_strides_of_which_a_small_weight_may_have_either() -> None:
    weight = torch.randn(8, 4, 1, 1).to(memory_format=torch.channels_last)
    assert not plain(weight)
    assert plain(in_safe_layout(weight))
    assert torch.equal(in_safe_layout(weight), weight)
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert plain(in_safe_layout(image))
    assert torch.equal(in_safe_layout(image), image)
    assert in_safe_layout(torch.ones(2, 3)).shape == (2, 3)
