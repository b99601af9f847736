"""Wrapped, compiled or scripted models have the same scores, or an error with the next step."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from foretell import ForetellError, score
from foretell.proxies import PROXIES
from tests.support.portraits import portrait

ALL = list(PROXIES)
IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
BATCH = (IMAGES, torch.arange(8) % 4)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Scripting and tracing are deprecated, but still in use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def net(act: Callable[[Tensor], Tensor] = torch.relu) -> nn.Module:
    """A convolution, a given activation, a normalisation and a classifier."""

    class Act(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return act(x)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 6, 3), Act(), nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), Act()]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)]
        return nn.Sequential(*body, *head).double()


def relu(x: Tensor) -> Tensor:
    """A function that is scripted."""
    return torch.relu(x)


def compiled(model: Any) -> Any:
    """torch.compile without code generation."""
    return torch.compile(model, backend="eager")


@contextmanager
def one_process() -> Iterator[None]:
    """A process group that consists of this process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "distributed": nn.parallel.DistributedDataParallel,
    "compiled and parallel": lambda model: nn.DataParallel(compiled(model)),
}


def values(scores: Any) -> dict[str, str]:
    """The values to the last bit."""
    return {name: one.value.hex() for name, one in scores.items()}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_model_scores_as_the_model_itself(wrapper: str) -> None:
    expected = values(score(net(), BATCH, ALL))
    with one_process():
        wrapped = WRAPPERS[wrapper](net())
        before = portrait(wrapped)
        assert values(score(wrapped, BATCH, ALL)) == expected
        assert portrait(wrapped) == before


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_so_does_a_model_of_which_a_part_is_wrapped(wrapper: str) -> None:
    expected = values(score(nn.Sequential(net(), nn.Tanh()), BATCH, ALL))
    with one_process():
        model = nn.Sequential(WRAPPERS[wrapper](net()), nn.Tanh())
        before = portrait(model)
        assert values(score(model, BATCH, ALL)) == expected
        assert portrait(model) == before


@pytest.mark.parametrize("make", [torch.jit.script, compiled], ids=["scripted", "compiled"])
def test_functions_run_as_the_python_they_were_made_from(make: Callable[[Any], Any]) -> None:
    call, act = torch.jit.ScriptFunction.__call__, make(relu)
    assert values(score(net(act), BATCH, ALL)) == values(score(net(), BATCH, ALL))
    assert torch.jit.ScriptFunction.__call__ is call


def dynamically_quantized(model: nn.Module) -> nn.Module:
    """The same with linear and recurrent layers that compute with integers."""
    quantize: Any = torch.ao.quantization.quantize_dynamic
    quantized: nn.Module = quantize(model, {nn.Linear, nn.LSTM})
    return quantized


def integers() -> Tensor:
    """A quantized matrix, `[4, 192]`."""
    return torch.quantize_per_tensor(torch.ones(4, 192), 0.1, 0, torch.qint8)


class QuantizedTable(nn.Module):
    """A linear layer with a quantized weight as a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", integers())

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return x.flatten(1) @ self.table.dequantize().T  # type: ignore[operator]


class PackedByHand(nn.Module):
    """A linear layer whose weight was packed for a quantized operation."""

    def __init__(self) -> None:
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack(integers(), None)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return torch.ops.quantized.linear_dynamic(x.flatten(1), self.packed)


REFUSED: dict[str, Callable[[nn.Module], Any]] = {
    "scripted": torch.jit.script,
    "traced": lambda model: torch.jit.trace(model, IMAGES),
    "exported": lambda model: torch.export.export(model, (IMAGES,)),
    "exported module": lambda model: torch.export.export(model, (IMAGES,)).module(),
}


@pytest.mark.parametrize("wrapper", REFUSED)
def test_others_are_refused_with_what_to_give_instead(wrapper: str) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 8), nn.ReLU(), nn.Flatten()).double()
    with pytest.raises(ForetellError, match=r"; .*(give|pass) the module (that|from)") as caught:
        score(REFUSED[wrapper](plain), BATCH)
    assert "\n" not in str(caught.value)


QUANTIZED: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: dynamically_quantized(nn.Sequential(nn.Flatten(), nn.Linear(192, 4))),
    "lstm": lambda: dynamically_quantized(nn.Sequential(nn.Flatten(2), nn.LSTM(64, 4))),
    "part": lambda: nn.Sequential(
        nn.Conv2d(3, 2, 8), nn.Flatten(), dynamically_quantized(nn.Sequential(nn.Linear(2, 4)))
    ),
    "table": QuantizedTable,
    "packed by hand": PackedByHand,
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_weights_are_refused(name: str) -> None:
    with pytest.raises(ForetellError, match=r"the weights.* are quantized, .*; give the model as"):
        score(QUANTIZED[name](), BATCH, ALL)


HIDDEN = {"fisher", "fisher_reference", "nwot", "synflow", "synflow_bn", "synflow_reference", "zen"}
HIDDEN |= {"rmin", "d8", "rd8", "meco", "meco_opt", "near", "swap"}
HIDDEN |= {"vkdnw", "vkdnw_reference", "l_swag", "te_nas_regions", "intrain", "wrcor"}
HIDDEN |= {"head_confidence", "attention_confidence", "head_importance", "dss", "w_pca"}
HIDDEN |= {"az_expressivity", "az_progressivity", "az_trainability", "pr"}


def test_what_has_to_see_a_scripted_part_is_undefined_and_the_rest_is_right() -> None:
    model = net()
    model[3] = torch.jit.script(model[3])
    found, expected = score(model, BATCH, ALL), score(net(), BATCH, ALL)
    assert {name for name, one in found.items() if one.why} == HIDDEN
    for name, one in found.items():
        if name in HIDDEN:
            assert "the operations of 3, which is scripted, cannot be observed" in str(one.why)
        else:
            assert one.value == pytest.approx(expected[name].value, rel=1e-9), name


def test_a_scripted_part_comes_back_as_it_was() -> None:
    model = net()
    model[3] = torch.jit.script(model[3])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    score(model.eval(), BATCH, ALL)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in model.modules())
