"""The proxies beside the paper's six: golden values, edges, and what they cost."""

import importlib.util
import json
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from foretell import ForetellError, Score, score
from foretell.batch import Batch
from foretell.engine.passes import PASSES
from foretell.engine.passes.gaussian import (
    disturbed,
    gaussian_model,
    normal_like,
    pooled_features,
)
from foretell.engine.plan import make_plan
from foretell.engine.subject import Subject
from foretell.losses import LOSSES
from foretell.proxies import PROXIES
from tests.support import paths
from tests.support.golden_nets import Row, rebuild
from tests.support.models import MODELS, SAMPLES, UNCOUPLED, conv, head, make, normal

GOLDEN = paths.GOLDEN / "naslib.json"
ROWS: list[Row] = json.loads(GOLDEN.read_text())["rows"]
NEW = ("plain", "l2_norm", "nwot", "zen", "epe_nas", "zico", "synflow_bn")
CALLS = {f"{row['model']}, {row['num_classes']} classes": row for row in ROWS}


def subject_of(model: nn.Module, batch: Any, **changes: Any) -> Subject:
    """A model and a batch as `score` would put them together."""
    settings = {"seed": 0, "layers": "all", "batch_norm": "batch", "micro_batch": None} | changes
    return Subject(model, Batch(*batch), LOSSES["cross_entropy"], **settings)


def values(scores: dict[str, Score]) -> dict[str, float]:
    """The values alone."""
    return {name: one.value for name, one in scores.items()}


def why(model: nn.Module, batch: Any, proxy: str, **settings: Any) -> str:
    """Why a score is undefined."""
    one = score(model, batch, proxy, **settings)[proxy]
    assert math.isnan(one.value)
    assert one.why is not None
    return one.why


# Golden values of NASLib and of ZiCo's authors.


@pytest.mark.parametrize("call", CALLS)
def test_their_code_gives_the_same(call: str) -> None:
    row = CALLS[call]
    if row["model"].startswith("torchvision"):
        pytest.importorskip("torchvision")
    model, images, labels = rebuild(row)
    expected = {k: v for k, v in row["values"].items() if k != "zen"}
    expected["synflow_bn"] = math.log(expected["synflow_bn"])
    ours = values(score(model, (images, labels), list(expected), layers="conv2d_linear"))
    assert ours == pytest.approx(expected, rel=1e-5, abs=0)


def counts_of_batch_norms(model: nn.Module, images: Tensor) -> list[int]:
    """How many values a channel each BatchNorm normalises, in the order they are run."""
    counts: list[int] = []
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [
        norm.register_forward_pre_hook(lambda _, x: counts.append(x[0].numel() // x[0].shape[1]))
        for norm in norms
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return counts


@pytest.mark.parametrize("call", CALLS)
def test_zen_is_theirs_but_for_the_running_average(call: str) -> None:
    """They read 0.81·1 + 0.09·v + 0.1·v′, v and v′ being the unbiased variances of x and x + 0.01ε.

    With their draws the feature change and all variances can be held against their value.
    """
    row = CALLS[call]
    if row["model"].startswith("torchvision"):
        pytest.importorskip("torchvision")
    model, images, labels = rebuild(row, torch.float32)
    subject = subject_of(model, (images, labels), layers="conv2d_linear")
    generator = Generator().manual_seed(row["zen_seed"])
    drawn = gaussian_model(model, "conv2d_linear", generator, torch.float32)
    x = Batch(normal_like(images, generator, torch.float32))
    near = x.each(lambda t: disturbed(t, generator))
    features, variances = pooled_features(subject, drawn, x, 0)
    moved, variances_near = pooled_features(subject, drawn, near, 0)
    theirs = float((features - moved).abs().flatten(1).sum(1).mean().log())
    counts = counts_of_batch_norms(model, images)
    for v, v_near, n in zip(variances, variances_near, counts, strict=True):
        running = 0.81 + (0.09 * v + 0.1 * v_near) * n / (n - 1)
        theirs += float(running.mean().log()) / 2
    assert theirs == pytest.approx(row["values"]["zen"], rel=1e-5)


def test_reading_running_averages_costs_a_network_its_batch_norms() -> None:
    """What the docstring of zen says of their code: about 0.8 less for each BatchNorm."""
    assert math.log(0.19) / 2 == pytest.approx(-0.83, abs=0.005)
    row = next(row for row in ROWS if row["model"].endswith("resnet18"))
    pytest.importorskip("torchvision")
    model, images, labels = rebuild(row, torch.float32)
    ours = [score(model, (images, labels), "zen", seed=s)["zen"].value for s in range(3)]
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    shift = np.mean(ours) - row["values"]["zen"]
    assert shift == pytest.approx(0.83 * norms, rel=0.1)
    assert np.std(ours) < 0.5


# Laws that concern these scores alone; test_laws.py has the others.


@pytest.mark.parametrize("name", MODELS)
def test_only_what_says_so_draws_numbers_of_its_own(name: str) -> None:
    if MODELS[name].random:
        return
    model, batch = make(name)
    one, other = score(model, batch, list(PROXIES)), score(model, batch, list(PROXIES), seed=1)
    changed = {k for k in PROXIES if one[k].why is None and one[k].value != other[k].value}
    assert changed == {k for k, p in PROXIES.items() if p.draws and one[k].why is None}


@pytest.mark.parametrize("size", [1, 2, 4, SAMPLES + 1])
@pytest.mark.parametrize("name", UNCOUPLED)
def test_parts_add_up_to_the_whole(name: str, size: int) -> None:
    model, batch = make(name, torch.float64)
    whole, parts = score(model, batch, NEW), score(model, batch, NEW, micro_batch=size)
    assert values(parts) == pytest.approx(values(whole), rel=1e-9, abs=0, nan_ok=True)
    assert {k: s.why for k, s in parts.items()} == {k: s.why for k, s in whole.items()}
    if whole["nwot"].why is None:  # it counts: exact
        assert parts["nwot"].value == whole["nwot"].value


@pytest.mark.parametrize("proxy", ["nwot", "zen", "epe_nas", "zico"])
def test_parts_of_a_batch_that_hangs_together_are_refused(proxy: str) -> None:
    model, batch = make("conv_bn_relu")
    with pytest.raises(ForetellError, match=r"micro_batch would change the scores.*BatchNorm"):
        score(model, batch, proxy, micro_batch=2)


# epe_nas


def epe_by_loops(rows: np.ndarray[Any, Any], labels: list[int], many: bool) -> float:
    """The two formulas of the definition."""
    sums = []
    for label in sorted(set(labels)):
        own = [row for row, its in zip(rows, labels, strict=True) if its == label]
        if len(own) > 1:
            logs = [math.log(abs(np.corrcoef(a, b)[0, 1]) + 1e-5) for a in own for b in own]
            sums.append(sum(logs) / (len(own) if many else 1))
    if many:
        return sum(abs(a - b) for a in sums for b in sums) / len(sums)
    return sum(abs(s) for s in sums)


@pytest.mark.parametrize("outputs", [4, 100, 101, 150])
def test_more_than_a_hundred_outputs_have_their_own_formula(outputs: int) -> None:
    rows = torch.randn(7, 12, generator=Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([3, 1, 1, 3, 0, 1, 7])
    expected = epe_by_loops(rows.numpy(), labels.tolist(), outputs > 100)
    given = PROXIES["epe_nas"].function(rows, labels, outputs)
    assert float(given) == pytest.approx(expected, rel=1e-12)


def test_epe_nas_needs_classes_of_two() -> None:
    model, (images, labels) = make("residual")
    each_its_own = torch.arange(6).remainder(4)[torch.tensor([0, 1, 2, 3])]
    assert why(model, (images[:4], each_its_own), "epe_nas") == (
        "no class has two samples in this batch"
    )
    many = nn.Sequential(nn.Flatten(), nn.Linear(75, 101))
    alike = torch.zeros(SAMPLES, dtype=torch.long)
    assert why(many, (images, alike), "epe_nas") == (
        "fewer than two classes have two samples in this batch"
    )
    for targets in (None, torch.rand(SAMPLES, 4)):
        own_loss = {"loss": lambda outputs, _: outputs.mean()}
        assert why(model, (images, targets), "epe_nas", **own_loss) == (
            "epe_nas needs one class label a sample"
        )
    constant = nn.Sequential(nn.Flatten(), nn.Linear(75, 4))
    with torch.no_grad():
        constant[1].weight.fill_(1.0)
    assert "constant" in why(constant, (images, labels), "epe_nas")


# zico


@pytest.mark.parametrize("name", ["mlp", "residual_bn", "attention", "gru"])
def test_each_weight_adds_at_least_one(name: str) -> None:
    """(|a| + |b|) / |a − b| ≥ 1, so zico is at least Σ log(how many gradients differ)."""
    model, batch = make(name, torch.float64)
    found = PASSES["halves"](subject_of(model, batch), set(), {})["half_grads"]
    differing = [int((g[0] != g[1]).sum()) for g in found.values()]
    assert score(model, batch, "zico")["zico"].value >= sum(math.log(n) for n in differing if n)


def test_the_bound_is_most_of_the_score() -> None:
    """As the docstring of zico says: three quarters and more on the networks of the golden file."""
    for row in ROWS:
        if row["model"].startswith("torchvision"):
            pytest.importorskip("torchvision")
        model, _, _ = rebuild(row)
        tensors = [p for p in model.parameters() if p.ndim > 1]
        bound = sum(math.log(p.numel()) for p in tensors)
        assert 0.73 < bound / row["values"]["zico"] < 0.85


def test_an_odd_sample_is_the_second_halfs() -> None:
    model, (images, labels) = make("residual", torch.float64)
    found = PASSES["halves"](subject_of(model, (images[:5], labels[:5])), set(), {})["half_grads"]
    for index, rows in enumerate((slice(0, 2), slice(2, 5))):
        loss = F.cross_entropy(model(images[:5][rows]), labels[:5][rows])
        grad = torch.autograd.grad(loss, model.get_parameter("first.weight"))[0]
        assert torch.allclose(found["first.weight"][index], grad, rtol=1e-12, atol=0)


def test_zico_of_too_few() -> None:
    model, (images, labels) = make("residual")
    assert why(model, (images[:1], labels[:1]), "zico") == (
        "one sample has no halves: give at least two"
    )
    twice = torch.cat([images[:3], images[:3]]), torch.cat([labels[:3], labels[:3]])
    assert why(model, twice, "zico") == "no gradient differs between the two halves of the batch"
    single, (pixels, marks) = make("one_by_one")
    assert why(single, (pixels[:3], marks[:3]), "zico") == (
        "half of the batch is too small for its BatchNorm: give at least four samples"
    )
    assert score(single, (pixels[:4], marks[:4]), "zico")["zico"].why is None


def test_the_halves_have_draws_of_their_own() -> None:
    """Equal halves differ by nothing but their dropout."""
    model, (images, labels) = make("dropout")
    twice = torch.cat([images[:3], images[:3]]), torch.cat([labels[:3], labels[:3]])
    assert score(model, twice, "zico")["zico"].why is None


# plain, l2_norm, synflow_bn


def test_plain_is_blind_to_what_is_normalised() -> None:
    model, (images, labels) = make("conv_bn_relu", torch.float64)
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-12
    whole = score(model, (images, labels), ["plain", "snip"])
    loss = F.cross_entropy(model(images), labels)
    last = model[8].weight
    alone = float((last * torch.autograd.grad(loss, last)[0]).sum().detach())
    assert whole["plain"].value == pytest.approx(alone, rel=1e-9)
    assert whole["snip"].value > 5 * abs(alone)


def test_l2_norm_of_a_default_layer_is_its_outputs() -> None:
    batch = torch.ones(2, 8), torch.zeros(2, dtype=torch.long)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 300), nn.Linear(300, 1200), nn.Linear(1200, 4))
    expected = sum(math.sqrt(n / 3) for n in (300, 1200, 4))
    assert score(model, batch, "l2_norm")["l2_norm"].value == pytest.approx(expected, rel=0.02)


def test_synflow_bn_is_synflow_where_nothing_is_normalised() -> None:
    for name in ("mlp", "conv_in_place", "residual", "dropout"):
        model, batch = make(name, torch.float64)
        both = score(model, batch, ["synflow", "synflow_bn"])
        assert both["synflow_bn"].value == pytest.approx(both["synflow"].value, rel=1e-12)


def test_synflow_bn_without_anything_to_average() -> None:
    model, batch = make("one_by_one")
    assert why(model, batch, "synflow_bn") == (
        "BatchNorm meets one value per channel in the flow of one sample"
    )
    assert score(model, batch, "synflow_bn", batch_norm="frozen")["synflow_bn"].why is None


def test_a_model_without_weights_has_reasons() -> None:
    batch = normal(3, 4)(Generator().manual_seed(0)), torch.zeros(SAMPLES, dtype=torch.long)
    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    for proxy in ("plain", "l2_norm", "zico", "synflow_bn"):
        assert why(model, batch, proxy) == "the model has no trainable weights that count"
    assert score(model, batch, "nwot")["nwot"].why is None


# What they cost.


def flops(work: Callable[[], object]) -> int:
    """The arithmetic of convolutions and matrix products while something runs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def even() -> nn.Module:
    """A net whose first layer has little of the arithmetic."""
    layers: list[nn.Module] = [conv(3, 8)]
    for before, after in ((8, 32), (32, 32), (32, 32), (32, 40)):
        layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), conv(before, after, bias=False)]
    return nn.Sequential(*layers, *head(40))


STEPS_COST = {"gaussian": ["zen"], "halves": ["zico"], "normed_flow": ["synflow_bn"]}


def test_the_new_passes_cost_what_they_declare() -> None:
    model, size = even(), 64
    images = torch.randn(size, 3, 8, 8, generator=Generator().manual_seed(0))
    labels = torch.arange(size).remainder(4)
    forward = flops(lambda: model(images))
    for proxies in STEPS_COST.values():
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


# The generated page.


def generator_of_the_page() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", paths.DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_proxies_is_the_generated_one() -> None:
    expected = generator_of_the_page().page()
    assert (paths.DOCS / "proxies.md").read_text(encoding="utf-8") == expected, (
        "run `python docs/generate.py`"
    )
    assert all(f"## {name}\n" in expected for name in PROXIES)
