"""A dozen real networks with every proxy, and special cases that real networks contain."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from foretell import score
from foretell.batch import Batch
from foretell.data import Splits, load_data, minibatch
from foretell.engine.weights import counted_weights
from foretell.errors import ForetellError
from foretell.models import fit_batch, load_model
from foretell.proxies import PROXIES
from foretell.scoring.score import Score, as_subject

LABELS = torch.tensor([0, 0, 1, 1])
WITHOUT_IMAGES = {"jacob_cov", "epe_nas", "zen"}
"""Token numbers can neither be differentiated nor be drawn from a normal distribution."""

SHORT = {"rmin", "d8", "rd8", "meco", "meco_opt"}
"""A sequence of eight tokens or fewer has no more positions than the channels that are drawn."""

VKDNW = {"vkdnw", "vkdnw_reference"}
"""They need one score for each class, not one for each token and each class."""

SAMPLEWISE = {"gradsign", "zico_per_sample", "l_swag", "te_nas_ntk"}
"""A sample by itself has too little for the BatchNorm of a vector."""

ATTENTION = {"head_confidence", "attention_confidence", "head_importance", "dss"}
TRANSFORMER = ATTENTION | {"w_pca"}
"""Convolutional networks have neither attention nor, mostly, feed-forward layers."""

NETWORKS: dict[str, set[str]] = {
    "torchvision:resnet18?image_size=64": TRANSFORMER,
    "torchvision:squeezenet1_1?image_size=32": {"az_trainability"} | TRANSFORMER,
    "torchvision:mobilenet_v3_small?image_size=64": TRANSFORMER,
    "torchvision:shufflenet_v2_x0_5?image_size=64": TRANSFORMER,
    "torchvision:mnasnet0_5?image_size=64": TRANSFORMER,
    "timm:convnext_atto?image_size=32": {"rmin"} | ATTENTION,
    "timm:vit_tiny_patch16_224?image_size=32": SHORT - {"meco", "meco_opt"},  # heads
    "timm:lcnet_050?image_size=64": TRANSFORMER,
    # its last BatchNorm makes the sum of the outputs a constant
    "timm:levit_128s?image_size=64": {"synflow_bn", "wrcor"} | SAMPLEWISE,
    "pytorchcv:resnet20_cifar10": TRANSFORMER,
    "hf:gpt2?n_layer=2": WITHOUT_IMAGES | SHORT | VKDNW,
    "hf:bert": WITHOUT_IMAGES | SHORT | VKDNW,
}


def images(size: int = 16, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Four random images and their labels."""
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1)).to(
        dtype
    ), LABELS


def batch_for(name: str, folder: Any) -> tuple[Batch, Splits]:
    """Four samples in the form that the network requires, and the data they come from."""
    text = name.startswith("hf:")
    if text:
        file = folder / "text.txt"
        file.write_text("the quick brown fox jumps over the lazy dog\n" * 20)
    splits = load_data(f"text:{file}?length=8" if text else "random:3x32x32x10")
    fitted = fit_batch(Batch(*minibatch(splits.train, 4, 0)), name, splits)
    return fitted if text else Batch(fitted.inputs, LABELS), splits


@pytest.mark.parametrize("name", NETWORKS)
def test_every_proxy_of_a_dozen_real_networks(name: str, tmp_path: Any) -> None:
    batch, splits = batch_for(name, tmp_path)
    found = score(load_model(name, splits), batch, list(PROXIES), loss=splits.loss)
    undefined = NETWORKS[name] | {"near"}  # four samples are too few for the widest layer of each
    assert {proxy for proxy, one in found.items() if one.why} == undefined, found
    assert all(math.isfinite(one.value) == (one.why is None) for one in found.values())


def slope(model: nn.Module, inputs: Tensor, step: float = 1e-4) -> float:
    """−gᵀ(Hw) by a central difference of the gradient along the weights."""
    weights = list(counted_weights(model).values())

    def grads(scale: float) -> list[Tensor]:
        with torch.no_grad():
            for weight in weights:
                weight.mul_(scale)
        loss = F.cross_entropy(model(inputs), LABELS)
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for weight in weights:
                weight.div_(scale)
        return list(found)

    trio = zip(grads(1.0), grads(1 + step), grads(1 - step), strict=True)
    return -sum(float((g * (ahead - behind)).sum()) for g, ahead, behind in trio) / (2 * step)


class UnitVectors(nn.Module):
    """Scales the channels of each pixel to a unit vector, as in cosine attention; zeros remain."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H, W]."""
        return F.normalize(x, dim=1)


SLOPES: dict[str, Callable[[], nn.Module]] = {
    "vit": lambda: torchvision.models.VisionTransformer(16, 4, 2, 2, 16, 32, num_classes=5),
    "swin": lambda: torchvision.models.SwinTransformer(
        [2, 2], 8, [2, 2], [1, 2], [2, 2], stochastic_depth_prob=0.0, num_classes=5
    ),
    "hard_sigmoid_and_swish": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Hardswish(), nn.Conv2d(6, 6, 3), nn.Hardsigmoid(), *head()
    ),
    "unit_vectors_of_padding": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ZeroPad2d(1), UnitVectors(), nn.Conv2d(6, 6, 1), *head()
    ),
    "in_place": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.SiLU(inplace=True), nn.Conv2d(6, 6, 3), nn.GELU(), *head()
    ),
}


def head() -> list[nn.Module]:
    """A classifier with six input channels and five classes."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)]


@pytest.mark.parametrize("name", SLOPES)
def test_grasp_where_torch_has_no_double_backward(name: str) -> None:
    torch.manual_seed(0)
    model = SLOPES[name]().double()
    for parameter in model.parameters():  # some heads are initialised with zeros
        nn.init.normal_(parameter, std=0.3)
    inputs = images(dtype=torch.float64)
    found = score(model, inputs, "grasp")["grasp"]
    assert found.value == pytest.approx(slope(model.train(), inputs[0]), rel=1e-5)


def test_behind_a_head_of_zeros_every_gradient_is_zero_and_nothing_is_made_up() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), *head())
    nn.init.zeros_(model[-1].weight)
    found = score(model, images(), ["snip", "grasp", "fisher", "jacob_cov", "zico"])
    assert found["snip"].value == 0
    assert found["fisher"].value > 0  # of the output of the head, which has a bias
    assert found["grasp"].value != 0  # it depends on the weights before the head
    assert found["jacob_cov"].why is not None
    assert "constant" in found["jacob_cov"].why


def test_stochastic_depth_draws_from_a_stream_of_its_own() -> None:
    model = torchvision.models.SwinTransformer(
        [2, 2], 8, [2, 2], [1, 2], [2, 2], stochastic_depth_prob=0.5, num_classes=5
    )
    nn.init.normal_(model.head.weight)
    torch.manual_seed(7)
    first = score(model, images(), "snip", seed=3)["snip"].value
    torch.manual_seed(8)
    assert score(model, images(), "snip", seed=3)["snip"].value == first
    assert score(model, images(), "snip", seed=4)["snip"].value != first


def test_a_network_in_bfloat16_is_scored_in_it_and_summed_in_float32() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), *head()
    )
    whole = score(model, images(), list(PROXIES))
    half = score(model.bfloat16(), images(), list(PROXIES))
    for name in ("grad_norm", "snip", "fisher", "synflow", "l2_norm", "params", "flops", "nwot"):
        assert half[name].value == pytest.approx(whole[name].value, rel=0.1), name
    assert {name: one.why for name, one in half.items()} == {
        name: one.why for name, one in whole.items()
    }
    assert next(model.parameters()).dtype == torch.bfloat16


def test_the_batch_goes_to_the_models_device_and_floating_type() -> None:
    model = nn.Linear(4, 2, device="meta", dtype=torch.float64)
    batch = (torch.ones(3, 4), torch.tensor([0, 1, 0]))
    subject = as_subject(model, batch)
    assert isinstance(subject.batch.inputs, Tensor)
    assert subject.batch.inputs.device == subject.batch.targets.device == torch.device("meta")
    assert subject.batch.inputs.dtype == torch.float64
    assert subject.batch.targets.dtype == torch.int64


class Recomputes(nn.Module):
    """A block whose activations are recomputed in the backward pass, or kept."""

    def __init__(self, reentrant: bool | None, first: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.reentrant, self.first = reentrant, first
        self.stem = nn.Conv2d(3, 6, 3)
        self.block = nn.Sequential(
            nn.ReLU(), nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.2)
        )
        self.head = nn.Sequential(*head())

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        part = nn.Sequential(self.stem, self.block) if self.first else self.block
        x = x if self.first else self.stem(x)
        if self.reentrant is None:
            return self.head(part(x))
        return self.head(checkpoint(part, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("first", [False, True])
def test_recomputed_activations_change_no_score(first: bool) -> None:
    kept = score(Recomputes(None, first), images(), list(PROXIES))
    again = score(Recomputes(False, first), images(), list(PROXIES))
    assert values(again) == values(kept)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("proxies", [["snip"], ["snip", "jacob_cov"], ["synflow"]])
def test_a_reentrant_checkpoint_is_refused(first: bool, proxies: list[str]) -> None:
    if proxies == ["synflow"] and not first:  # its weights can be observed, but not its operations
        alone = score(Recomputes(True, first), images(), proxies)["synflow"]
        assert math.isnan(alone.value)
        assert "a custom derivative" in str(alone.why)
        return
    with pytest.raises(ForetellError, match="use_reentrant=False"):
        score(Recomputes(True, first), images(), proxies)


class Hiding(torch.autograd.Function):
    """Runs a part whose weights are not among the arguments, and again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, part: nn.Module) -> Any:
        """The outputs of the part."""
        ctx.part = part
        ctx.save_for_backward(x)
        with torch.no_grad():
            return part(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradient of the input; those of the weights are added to their `grad`."""
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            torch.autograd.backward(ctx.part(x), grads[0])
        return x.grad, None


class BeginsHidden(nn.Module):
    """A network whose first part runs in such a function, or as usual."""

    def __init__(self, hidden: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden = hidden
        self.part, self.head = nn.Sequential(nn.Linear(6, 6), nn.Tanh()), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self.head(Hiding.apply(x, self.part) if self.hidden else self.part(x))
        return out


@pytest.mark.parametrize("more", [[], ["jacob_cov"], ["grasp"]])
def test_weights_that_a_function_hides_before_all_others_count(more: list[str]) -> None:
    batch = torch.randn(5, 6, generator=torch.Generator().manual_seed(1)), torch.arange(5) % 3
    names = ["snip", "grad_norm", *more]
    hidden, plain = (score(BeginsHidden(one), batch, names) for one in (True, False))
    for name in names:
        assert hidden[name].why or hidden[name].value == pytest.approx(plain[name].value), name
    assert hidden["snip"].why is None


class OverwritesWhatIsNeeded(nn.Module):
    """A network that overwrites what the backward pass of exp needs."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 6, 3), nn.Sequential(*head())

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.body(x).exp().mul_(2))


def test_what_torch_cannot_differentiate_is_nan_and_says_why() -> None:
    found = score(OverwritesWhatIsNeeded(), images(), list(PROXIES))
    for name in ("snip", "grasp", "jacob_cov", "synflow", "zico"):
        assert "modified by an inplace operation" in str(found[name].why), name
    assert found["params"].why is None


def test_a_parameter_that_is_not_finite_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), *head())
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = math.inf
    found = score(model, images(), ["snip", "jacob_cov", "synflow", "params"])
    assert {one.why for name, one in found.items() if name != "params"} == {
        "the model's parameter 0.weight contains values that are NaN or infinite"
    }
    assert found["params"].why is None


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_correlations_of_gradients_do_not_depend_on_their_size(scale: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), *head()).double()
    before = values(score(model, images(), ["jacob_cov", "epe_nas"]))
    with torch.no_grad():
        model[-1].weight.mul_(scale)
    after = values(score(model, images(), ["jacob_cov", "epe_nas"]))
    assert after == pytest.approx(before, rel=1e-6)


def test_a_detector_is_scored_by_the_losses_it_returns() -> None:
    torch.manual_seed(0)
    build = torchvision.models.detection.ssdlite320_mobilenet_v3_large
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from torchvision itself
        model = build(weights=None, weights_backbone=None, num_classes=3)
    boxes: list[Any] = [
        {"boxes": torch.tensor([[4.0, 4.0, 40.0, 50.0]]), "labels": torch.tensor([1])},
        {
            "boxes": torch.tensor([[4.0, 4.0, 40.0, 50.0], [0.0, 0.0, 9.0, 9.0]]),
            "labels": torch.tensor([2, 1]),
        },
    ]
    batch = Batch((torch.rand(2, 3, 64, 64), boxes))
    proxies = ["grad_norm", "snip", "fisher", "synflow", "jacob_cov", "params"]
    found = score(model, batch, proxies, loss="own")
    undefined = {name: one.why for name, one in found.items() if one.why}
    assert set(undefined) == {"synflow", "jacob_cov"}
    assert "a dict for each sample" in str(undefined["synflow"])
    assert "returns its loss" in str(undefined["jacob_cov"])
    with pytest.raises(ForetellError, match="a list among the inputs"):
        score(model, batch, "snip", loss="own", micro_batch=1)
    with pytest.raises(ForetellError, match="choose another loss"):
        score(nn.Linear(2, 2), (torch.ones(2, 2), LABELS[:2]), "snip", loss="own")


def test_a_loss_that_does_not_fit_is_one_line() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), *head())
    inputs, labels = images()

    def several(outputs: Tensor, targets: Any) -> Tensor:
        return F.cross_entropy(outputs, targets[0]) + F.mse_loss(outputs[:, 0], targets[0])[None, 9]

    with pytest.raises(ForetellError, match=r"the loss .*several cannot be computed") as error:
        score(model, (inputs, (labels, labels)), "snip", loss=several)
    assert "\n" not in str(error.value)
    with pytest.raises(ForetellError, match="cross-entropy expects class indices"):
        score(model, (inputs, labels.float()), "snip")


def values(found: dict[str, Score]) -> dict[str, float | str]:
    """The values of defined scores, and the reasons of the others."""
    return {name: one.why or one.value for name, one in found.items()}
