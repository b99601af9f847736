"""Every proxy on every model, compared with its twin in tests/twins/proxies in float64.

The twins contain the exceptions that are made by design: a recurrent layer is one layer to fisher,
with the gates on the inputs of its first layer as fan-in; attention is one layer, its output
projection; and a table that is read once for all samples (position embeddings) has no term for a
sample.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from foretell import score
from foretell.engine.weights import counted_weights
from foretell.proxies import PROXIES
from tests.support.models import MODELS, SAMPLES, Case, conv, head, make, normal
from tests.support.scores import why
from tests.twins.proxies import TWINS

SMALL = dict.fromkeys(("rmin", "d8", "rd8", "meco", "meco_opt"), 1e-10)
TOLERANCE = {"jacob_cov": 1e-9, "grasp of squeeze_excite": 1e-7, **SMALL}
"""Relative tolerances; 1e-12 for the others. A correlation matrix without full rank has the term
1/(0 + 1e-5), the smallest eigenvalue has the rounding errors of the largest, and PyTorch's
hardsigmoid divides by a 6 that is rounded to float32.
"""

Scores = dict[str, float]


@pytest.fixture(scope="module", params=MODELS)
def scored(request: pytest.FixtureRequest) -> tuple[str, Scores]:
    """The name of a model and all its scores in float64."""
    model, batch = make(request.param, torch.float64)
    return request.param, {k: s.value for k, s in score(model, batch, list(PROXIES)).items()}


def test_every_proxy_has_a_twin() -> None:
    assert set(TWINS) == set(PROXIES), "write the simplest form of the new proxy in tests/twins"


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_score_equals_its_definition(scored: tuple[str, Scores], proxy: str) -> None:
    name, scores = scored
    model, (inputs, labels) = make(name, torch.float64)
    expected = TWINS[proxy](MODELS[name], model, inputs, labels)
    limit = TOLERANCE.get(proxy, TOLERANCE.get(f"{proxy} of {name}", 1e-12))
    assert scores[proxy] == pytest.approx(expected, rel=limit, abs=0, nan_ok=True)


@pytest.mark.parametrize("name", MODELS)
def test_the_counted_weights_are_those_written_down(name: str) -> None:
    model, _ = make(name)
    weights = counted_weights(model)
    assert tuple(weights) == MODELS[name].weights
    assert all(weights[n] is model.get_parameter(n) for n in weights)


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_counts_conv2d_and_linear_only(name: str) -> None:
    model, _ = make(name)
    modules = dict(model.named_modules())
    kinds = (nn.Conv2d, nn.Linear)
    expected = [n for n in MODELS[name].weights if isinstance(modules[n.rpartition(".")[0]], kinds)]
    assert list(counted_weights(model, "conv2d_linear")) == expected


@pytest.mark.parametrize("proxy", ["grad_norm", "snip", "grasp", "fisher", "fisher_reference"])
@pytest.mark.parametrize("name", ["gru", "tokens", "frozen", "functional_attention", "volume"])
def test_fewer_layers_leave_the_others_out_of_the_sum(name: str, proxy: str) -> None:
    model, (inputs, labels) = make(name, torch.float64)
    fewer = tuple(counted_weights(model, "conv2d_linear"))
    case = Case(MODELS[name].build, MODELS[name].inputs, fewer)
    expected = TWINS[proxy](case, model, inputs, labels)
    value = score(model, (inputs, labels), proxy, layers="conv2d_linear")[proxy].value
    assert value == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("name", ["conv_bn_relu", "residual_bn", "volume"])
def test_frozen_statistics_are_those_of_the_model(name: str) -> None:
    """They equal those of a twin whose BatchNorm alone is in evaluation mode."""
    model, (inputs, labels) = make(name, torch.float64)
    scores = score(model, (inputs, labels), list(PROXIES), batch_norm="frozen")

    class Evaluated(nn.Module):
        """BatchNorm written out with its running statistics, with the parameters of the model."""

        def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, x: Tensor) -> Tensor:
            shape = [1, -1] + [1] * (x.ndim - 2)
            mean, var = self.norm.running_mean, self.norm.running_var
            assert mean is not None
            assert var is not None
            x = (x - mean.reshape(shape)) / (var.reshape(shape) + self.norm.eps).sqrt()
            return x * self.norm.weight.reshape(shape) + self.norm.bias.reshape(shape)

    twin, _ = make(name, torch.float64)
    for parent in list(twin.modules()):
        for child_name, child in list(parent.named_children()):
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(parent, child_name, Evaluated(child))
    for proxy in ("grad_norm", "snip", "grasp", "fisher", "jacob_cov"):
        expected = TWINS[proxy](MODELS[name], twin, inputs, labels)
        assert math.isfinite(expected)
        assert scores[proxy].value == pytest.approx(expected, rel=1e-10, abs=0), proxy


def test_flops_by_hand() -> None:
    model = nn.Sequential(conv(4, 8, groups=2), conv(8, 8, groups=8), *head(8))
    batch = (normal(4, 5, 7)(torch.Generator()), torch.zeros(SAMPLES, dtype=torch.long))
    pixels = 5 * 7
    multiplications = pixels * 8 * (4 // 2) * 9 + pixels * 8 * 9 + 8 * 4
    assert score(model, batch, "flops")["flops"].value == 2 * multiplications


def test_a_sum_reduced_layer_is_not_a_whole_vector_norm() -> None:
    """grad_norm sums layer norms: 3-4-5 triangles in two layers give 10, not √50."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 4.0]]))
        model[1].weight.copy_(torch.tensor([[1.0]]))
    inputs = torch.tensor([[3.0, 4.0]])
    value = score(model, (inputs, None), "grad_norm", loss=lambda outputs, _: outputs.mean())
    assert value["grad_norm"].value == pytest.approx(5.0 + 25.0)


def test_fisher_of_one_convolution_by_hand() -> None:
    """Two samples, one channel, two positions: a = x·w; L = Σ a²/4, so a·∂L/∂a = a²/2."""
    model = nn.Conv1d(1, 1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    inputs = torch.tensor([[[1.0, 2.0]], [[0.0, 3.0]]])
    loss = lambda outputs, _: (outputs**2).sum() / 4  # noqa: E731
    taylor = [(2**2 + 4**2) / 2, 6**2 / 2]
    expected = sum(t**2 for t in taylor) / 2 / 2
    assert score(model, (inputs, None), "fisher", loss=loss)["fisher"].value == expected


def test_the_best_jacob_cov_is_about_minus_the_batch_size() -> None:
    """The gradients are orthogonal with mean zero, so each eigenvalue is one."""
    signs = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])

    class Own(nn.Module):
        """A network whose output has a different gradient for each sample."""

        def forward(self, x: Tensor) -> Tensor:
            return (x * signs).sum(1, keepdim=True)

    value = score(Own(), (torch.ones(3, 4), None), "jacob_cov")["jacob_cov"].value
    assert value == pytest.approx(-3 * (math.log1p(1e-5) + 1 / (1 + 1e-5)), rel=1e-12)
    assert -3.0001 < value < -2.9999


def test_a_model_without_weights_has_reasons() -> None:
    batch = normal(3, 4)(torch.Generator().manual_seed(0)), torch.zeros(SAMPLES, dtype=torch.long)
    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    for proxy in ("plain", "l2_norm", "zico", "synflow_bn"):
        assert why(model, batch, proxy) == "the model has no trainable weights that count"
    assert score(model, batch, "nwot")["nwot"].why is None
