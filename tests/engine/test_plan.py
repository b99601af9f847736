"""The cost of scores, counted in FLOPs and compared with what `foretell.explain` states."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foretell import explain, score
from foretell.engine.plan import make_plan
from foretell.proxies import PAPER
from foretell.proxies.quantities import STEPS
from tests.support.costs import flops
from tests.support.models import CLASSES, conv, head

BATCH = 64
SIZE = 8


def block(before: int, after: int) -> list[nn.Module]:
    """Convolution, BatchNorm and in-place ReLU."""
    return [conv(before, after, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def plain() -> nn.Module:
    """A convolutional network whose first layer has 1 % of the arithmetic."""
    return nn.Sequential(*block(3, 12), *block(12, 32), *block(32, 32), *block(32, 40), *head(40))


class Skips(nn.Module):
    """Residual blocks with in-place sums, and biases instead of BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 32)
        self.blocks = nn.ModuleList(conv(32, 32) for _ in range(6))
        self.head = nn.Sequential(*head(32))

    def forward(self, x: Tensor) -> Any:
        """Add the output of every block to its input."""
        x = self.stem(x)
        for layer in self.blocks:
            out = layer(torch.relu(x))
            out += x
            x = out
        return self.head(x)


class Blocks(nn.Module):
    """Residual blocks of two convolutions, whose covariances cost a tenth of the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 32)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), conv(32, 32), nn.ReLU(), conv(32, 32)) for _ in range(3)
        )
        self.head = nn.Sequential(*head(32))

    def forward(self, x: Tensor) -> Any:
        """The blocks with their skips."""
        x = self.stem(x)
        for layers in self.blocks:
            x = x + layers(x)
        return self.head(x)


class Attends(nn.Module):
    """Patches as tokens, PyTorch's own attention, and a feed-forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 2, stride=2)
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 32))
        self.classify = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Classify the mean token."""
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return self.classify((x + self.feed(x)).mean(1))


NETS: dict[str, Callable[[], nn.Module]] = {"plain": plain, "skips": Skips}


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, SIZE, SIZE, generator=generator)
    return images, torch.randint(CLASSES, (size,), generator=generator)


@pytest.fixture(params=NETS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    """A network; its weights do not matter here."""
    return NETS[request.param]()


def measured(model: nn.Module, proxies: Iterable[str], size: int = BATCH) -> float:
    """The cost of scores in forward-equivalents."""
    images, labels = batch_of(size)
    forward = flops(lambda: model(images))
    return flops(lambda: score(model, (images, labels), list(proxies))) / forward


def test_first_order_proxies_share_one_forward_and_one_backward(model: nn.Module) -> None:
    first_order = ["snip", "grad_norm", "fisher"]
    alone = {name: measured(model, [name]) for name in first_order}
    assert max(alone.values()) <= 3.0
    assert measured(model, first_order) == max(alone.values())
    assert measured(model, [*first_order, "fisher_reference"]) == max(alone.values())


def test_jacob_cov_adds_at_most_one_backward_to_the_inputs(model: nn.Module) -> None:
    """The correlations of 64 rows take the last hundredth."""
    first_order = ["snip", "grad_norm", "fisher"]
    assert measured(model, [*first_order, "jacob_cov"]) - measured(model, first_order) <= 1.01


def test_all_six_cost_at_most_eight_and_a_quarter_forward_passes(model: nn.Module) -> None:
    assert measured(model, PAPER) <= 8.25


@pytest.mark.parametrize(
    "proxies",
    [PAPER, ("snip",), ("jacob_cov",), ("grasp",), ("synflow", "fisher"), ("synflow", "jacob_cov")],
    ids="+".join,
)
@pytest.mark.parametrize("size", [16, BATCH])
def test_explain_says_what_it_costs(model: nn.Module, proxies: tuple[str, ...], size: int) -> None:
    declared = explain(proxies, batch_size=size).cost
    assert declared == pytest.approx(measured(model, proxies, size), rel=0.05)


def test_no_step_costs_more_than_it_declares(model: nn.Module) -> None:
    first_order = measured(model, ["snip"])
    costs = {
        "read": measured(model, ["params"]),
        "count": 0.0,  # shapes alone, see the next test
        "forward": 1.0,
        "jacobian": measured(model, ["jacob_cov"]) - 1,
        "backward": first_order - 1,
        "curvature": measured(model, ["grasp"]) - first_order,
        "flow": measured(model, ["synflow"]) * BATCH,
        "reference_flow": measured(model, ["synflow_reference"]) * BATCH,
        "normed_flow": measured(model, ["synflow_bn"]) * BATCH,
        "codes": measured(model, ["nwot"]) - 1,
        "correlations": measured(model, ["rmin"]) - 1,
        "module_correlations": (measured(model, ["meco", "meco_opt"]) - 1) * BATCH,
        "few_correlations": measured(model, ["d8", "rd8"]) - 1,
        "moments": measured(model, ["intrain"]) - first_order,
        "responses": measured(model, ["wrcor"]) - 1,
        "attention": measured(Attends(), ["attention_confidence", "head_confidence"]) - 1,
        "feed_forward": measured(Attends(), ["w_pca"]) - 1,
        "rows": 0.0,  # no arithmetic: near decomposes them
        "patterns": measured(model, ["swap"]) * BATCH,
        "outputs_by_weights": measured(model, ["vkdnw"]) * 21 / (2 * CLASSES + 1),
        "samples": measured(model, ["gradsign"]),
        "sample_outputs": measured(model, ["te_nas_ntk"]),
        "halves": measured(model, ["zico"]),
        "gaussian": measured(model, ["zen"]),
        "block_features": measured(Blocks(), ["az_expressivity"]),
        "block_gradients": measured(Blocks(), ["az_trainability"])
        - measured(Blocks(), ["az_expressivity"]),
    }
    assert set(costs) == set(STEPS), "measure the new step here"
    for name, cost in costs.items():
        assert cost <= STEPS[name].cost * 1.01, name
    flows = {"flow", "reference_flow", "normed_flow", "module_correlations", "patterns"}
    assert {name for name, step in STEPS.items() if step.per_sample} == flows


class Devices(TorchDispatchMode):
    """Records the devices on which convolutions and matrix products run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if "conv" in str(func) or "mm" in str(func):
            self.seen.add(out.device.type)
        return out


def test_counting_flops_computes_nothing(model: nn.Module) -> None:
    with Devices() as devices:
        score(model, batch_of(BATCH), "flops")
    assert devices.seen == {"meta"}


def test_flops_does_not_depend_on_the_batch_size(model: nn.Module) -> None:
    one, many = (score(model, batch_of(size), "flops")["flops"].value for size in (2, BATCH))
    assert one == many == flops(lambda: model(batch_of(2)[0])) / 2


def test_micro_batches_cost_no_more(model: nn.Module) -> None:
    if isinstance(model, Skips):
        images, labels = batch_of(BATCH)
        whole = flops(lambda: score(model, (images, labels), PAPER))
        parts = flops(lambda: score(model, (images, labels), PAPER, micro_batch=16))
        probe = flops(lambda: model(images[:20]))  # few samples, to check that parts are exact
        check = 2 * flops(lambda: model(images))  # all samples, in two orders
        assert parts <= whole + probe + check


def test_the_doubled_plan_runs_nothing_twice() -> None:
    assert explain(["snip", "snip"]).plan.steps == explain("snip").plan.steps
    assert explain(["jacob_cov"]).plan.steps == ("forward", "jacobian")
    assert explain(["params"]).plan.passes == ("read",)
    assert explain(["synflow"]).plan.passes == ("flow",)
    assert explain(PAPER, batch_size=10**9).cost == pytest.approx(8, abs=1e-6)


PASSES_OF_THEIR_OWN = {"gaussian": ["zen"], "halves": ["zico"], "normed_flow": ["synflow_bn"]}


def even() -> nn.Module:
    """A network whose first layer has little of the arithmetic."""
    layers: list[nn.Module] = [conv(3, 8)]
    for before, after in ((8, 32), (32, 32), (32, 32), (32, 40)):
        layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), conv(before, after, bias=False)]
    return nn.Sequential(*layers, *head(40))


def test_passes_of_their_own_cost_what_they_declare() -> None:
    model, size = even(), 64
    images = torch.randn(size, 3, 8, 8, generator=Generator().manual_seed(0))
    labels = torch.arange(size).remainder(4)
    forward = flops(lambda: model(images))
    for proxies in PASSES_OF_THEIR_OWN.values():
        cost = flops(lambda p=proxies: score(model, (images, labels), p)) / forward  # type: ignore[misc]
        assert cost == pytest.approx(make_plan(proxies).cost(size), rel=0.05), proxies


def test_codes_cost_at_most_what_they_declare_and_share_the_forward_pass() -> None:
    model, size = even(), 64
    images = torch.randn(size, 3, 8, 8, generator=Generator().manual_seed(0))
    batch = images, torch.arange(size).remainder(4)
    forward = flops(lambda: model(images))
    alone = flops(lambda: score(model, batch, "nwot"))
    with_snip, snip = (
        flops(lambda p=p: score(model, batch, p)) for p in (["snip", "nwot"], "snip")
    )  # type: ignore[misc]
    assert 1 < alone / forward <= make_plan("nwot").cost(size)
    assert with_snip - snip == alone - forward
    assert make_plan(["epe_nas", "jacob_cov"]).cost(size) == make_plan("jacob_cov").cost(size)
