"""Laws of every proxy on every model: nothing is modified, and no score depends on the others."""

import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from foretell import ForetellError, Score, explain, rank, score
from foretell.batch import tensors
from foretell.proxies import PROXIES
from tests.support.models import AT_BLOCKS, MODELS, OF_ATTENTION, SAMPLES, make
from tests.support.paths import ROOT
from tests.support.portraits import picture, portrait, streams
from tests.support.processes import environment, python

ALL = list(PROXIES)
COUNTS = {"params", "flops", "params_used", "flops_used"}
COUNTS |= {"layers", "depth", "parameter_tensors", "convs_3x3"}
"""Proxies that count."""
WHOLE = COUNTS | {"swap", "gradsign", "te_nas_regions", "w_pca"}
"""Proxies whose values are whole numbers."""
FIXED = COUNTS | {"synflow", "synflow_bn", "l2_norm"}
"""Proxies that dropout does not affect."""


UNDEFINED = {
    ("tokens", "jacob_cov"): "the inputs are integers",
    ("tokens", "epe_nas"): "the inputs are integers",
    ("tokens", "zen"): "the inputs are integers",
    ("shared", "nwot"): "singular",
    ("two_inputs", "nwot"): "kink or a gate",
    ("two_inputs", "swap"): "kink or a gate",
    ("two_inputs", "te_nas_regions"): "kink or a gate",
    ("two_inputs", "l_swag"): "kink or a gate",
    ("shared", "synflow_bn"): "one value per channel",
    ("one_by_one", "synflow_bn"): "one value per channel",
}
UNDEFINED |= {
    (name, proxy): "no repeated blocks found"
    for name, case in MODELS.items()
    if not case.blocks
    for proxy in AT_BLOCKS
}
"""The scores that are undefined for these models, and a part of the reason."""
UNDEFINED |= {
    (name, proxy): "no attention is seen"
    for name in MODELS.keys() - {"attention", "transformer", "functional_attention", "patches"}
    for proxy in OF_ATTENTION
}
UNDEFINED |= {
    (name, "w_pca"): "no feed-forward layer is seen"
    for name in MODELS.keys() - {"attention", "transformer", "convnext", "patches"}
}
CHANNELS = ("rmin", "d8", "rd8", "meco", "meco_opt")
FEW_POSITIONS = {
    **dict.fromkeys(("mlp", "tied", "shared", "one_by_one", "two_inputs"), CHANNELS),
    **dict.fromkeys(("attention", "transformer", "functional_attention"), CHANNELS),
    **dict.fromkeys(("tuple_output", "named_tuple_output", "dict_output"), CHANNELS),
    **dict.fromkeys(("gru", "tokens"), ("rmin", "rd8")),
    "patches": ("rmin",),
}
"""Models of vectors and short sequences, and the scores that need more positions."""
UNDEFINED |= {
    (name, proxy): "no more positions than channels"
    for name, proxies in FEW_POSITIONS.items()
    for proxy in proxies
}
UNDEFINED |= {
    (name, proxy): "one value per channel"
    for name in ("shared", "one_by_one")
    for proxy in ("gradsign", "zico_per_sample", "l_swag", "te_nas_ntk")
}
UNDEFINED |= {
    (name, "near"): "too few for full rank"
    for name in (
        *("mlp", "tied", "one_by_one", "squeeze_excite"),
        *("tuple_output", "named_tuple_output", "dict_output"),
    )
}
ZERO = {(name, proxy) for name in ("convnext", "dropout") for proxy in ("rmin", "rd8")}
ZERO |= {("tokens", "meco"), ("tokens", "meco_opt"), ("patches", "rd8")}
"""Scores that are 0: a layer widens, or a channel is dropped, so that the others determine one."""


def scores_of(name: str, proxies: Any = None, **settings: Any) -> dict[str, Score]:
    """The scores of a new model in float32."""
    model, batch = make(name)
    return score(model, batch, ALL if proxies is None else proxies, **settings)


def bits(scores: dict[str, Score]) -> dict[str, str]:
    """The values to the last bit; nan equals nan."""
    return {name: one.value.hex() for name, one in scores.items()}


@cache
def together(name: str) -> dict[str, Score]:
    """All scores of a model, from a single call."""
    return scores_of(name)


def prepared(name: str, grads: bool) -> tuple[nn.Module, Any]:
    """A model with mixed modes, a non-persistent buffer, hooks and, if requested, gradients."""
    model, batch = make(name)
    modules = list(model.modules())
    for module in modules[::2]:
        module.training = False
    model.register_buffer("scratch", torch.arange(3.0), persistent=False)
    modules[-1].register_forward_hook(lambda *_: None)
    modules[-1].register_forward_pre_hook(lambda *_: None)
    if grads:
        for index, parameter in enumerate(model.parameters()):
            parameter.grad = torch.full_like(parameter, index)
    return model, batch


@pytest.mark.parametrize("grads", [False, True], ids=["no_grad", "preset_grad"])
@pytest.mark.parametrize("name", MODELS)
def test_the_model_the_batch_and_the_generators_come_back_bit_for_bit(
    name: str, grads: bool
) -> None:
    model, batch = prepared(name, grads)
    before, seen = portrait(model), [picture(tensor) for tensor in tensors(list(batch))]
    random_before = streams()
    score(model, batch, ALL)
    assert portrait(model) == before
    assert [picture(tensor) for tensor in tensors(list(batch))] == seen
    assert streams() == random_before
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("proxy", ALL)
@pytest.mark.parametrize("name", ["conv_bn_relu", "dropout", "gru", "tied", "volume"])
def test_each_proxy_alone_leaves_no_trace(name: str, proxy: str) -> None:
    model, batch = prepared(name, grads=True)
    before, random_before = portrait(model), streams()
    score(model, batch, proxy)
    assert portrait(model) == before
    assert streams() == random_before


@pytest.mark.parametrize("proxy", ALL)
@pytest.mark.parametrize("name", MODELS)
def test_a_score_does_not_depend_on_what_else_is_asked(name: str, proxy: str) -> None:
    alone = scores_of(name, proxy)
    assert bits(alone) == {proxy: together(name)[proxy].value.hex()}
    assert alone[proxy].why == together(name)[proxy].why


@pytest.mark.parametrize("name", MODELS)
def test_nor_on_the_order_nor_on_a_random_selection(name: str) -> None:
    expected = bits(together(name))
    assert bits(scores_of(name, ALL[::-1])) == expected
    assert list(scores_of(name, ALL[::-1])) == ALL[::-1]
    dice = random.Random(name)
    for _ in range(3):
        some = dice.sample(ALL, dice.randint(2, len(ALL) - 1))
        assert bits(scores_of(name, some)) == {proxy: expected[proxy] for proxy in some}


@pytest.mark.parametrize("name", MODELS)
def test_nor_on_what_was_scored_before(name: str) -> None:
    model, batch = make(name)
    first = score(model, batch, ALL)
    again = score(model, batch, ALL)
    assert bits(first) == bits(again) == bits(together(name))


@pytest.mark.parametrize("name", MODELS)
def test_nor_on_the_callers_generators_or_the_models_mode(name: str) -> None:
    model, batch = make(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        torch.rand(7)
        assert bits(score(model.eval(), batch, ALL)) == bits(together(name))
    with torch.no_grad():
        assert bits(score(model.train(), batch, ALL)) == bits(together(name))


@contextmanager
def by_default(set_default: Callable[[Any], None], value: Any, before: Any) -> Iterator[None]:
    """Within the block, a global default of torch is another."""
    set_default(value)
    try:
        yield
    finally:
        set_default(before)


CALLERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default dtype": lambda: by_default(torch.set_default_dtype, torch.float64, torch.float32),
    "default device": lambda: by_default(torch.set_default_device, "meta", None),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", ["conv_bn_relu", "dropout", "patches", "lstm", "tokens", "wide"])
def test_nor_on_what_the_caller_has_set(name: str, caller: str) -> None:
    model, batch = make(name)
    scores, explained = together(name), explain(ALL, model, batch)
    with CALLERS[caller]():
        assert bits(score(model, batch, ALL)) == bits(scores)
        assert explain(ALL, model, batch) == explained


def test_a_batch_may_be_made_in_inference_mode_but_no_model() -> None:
    model, (inputs, labels) = make("mlp")
    with torch.inference_mode():
        assert bits(score(model, (inputs * 1, labels), ALL)) == bits(together("mlp"))
        frozen, batch = make("mlp")
        with pytest.raises(ForetellError, match=r"built within torch.inference_mode.*no_grad"):
            score(frozen, batch, "snip")
        built = rank({"a": lambda: make("mlp")[0]}, batch, "snip")
    assert built.loc["a", "snip"] == together("mlp")["snip"].value


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_the_same_value_and_for_dropout_another_seed_another(name: str) -> None:
    assert bits(scores_of(name, seed=0)) == bits(together(name))
    other = scores_of(name, seed=1)
    changed = {proxy for proxy in ALL if bits(other)[proxy] != together(name)[proxy].value.hex()}
    same = {proxy for proxy in ALL if together(name)[proxy].why or other[proxy].value == 0}
    same |= UNAFFECTED.get(name, set())
    assert changed == (set(ALL) - FIXED if MODELS[name].random else drawing(name)) - same


UNAFFECTED = {
    "dropout": {"d8", "meco", "meco_opt", "te_nas_regions"},
    "transformer": {"head_confidence", "attention_confidence", "w_pca", "te_nas_regions"},
}
"""What depends only on layers before the dropout, and numbers of patterns: all that there are."""


SATURATED = {"mlp", "conv_bn_relu", "grouped", "wide", "cells"}
"""Networks whose units show the same number of patterns for both seeds: mostly all there are."""


def drawing(name: str) -> set[str]:
    """The proxies that draw random numbers of their own for a model."""
    few = {"d8", "rd8", "meco_opt"}  # all channels, if there are only eight
    few -= few if name == "wide" else {"meco_opt"} if name == "patches" else set()
    few |= {"near"} if name in ("shared", "two_inputs") else set()  # one choice of rows
    few |= {"swap", "l_swag"} if name in SATURATED else set()
    return {proxy for proxy in ALL if PROXIES[proxy].draws} - few


def test_a_fresh_process_gives_the_same_values() -> None:
    script = (
        "import json, torch; torch.set_num_threads(1)\n"
        "from tests.support.models import MODELS, make; from foretell import score\n"
        "from foretell.proxies import PROXIES\n"
        "values = {}\n"
        "for name in reversed(MODELS):\n"
        "    scores = score(*make(name), list(PROXIES))\n"
        "    values[name] = {k: s.value.hex() for k, s in scores.items()}\n"
        "print(json.dumps(values))\n"
    )
    run = python("-c", script, env=environment(ROOT, PYTHONHASHSEED="7"))
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {name: bits(together(name)) for name in MODELS}


def test_nan_comes_with_a_reason_and_a_number_never_does() -> None:
    for name in MODELS:
        scores = together(name)
        for proxy, one in scores.items():
            assert isinstance(one.value, float)
            assert one.seconds >= 0
            if math.isfinite(one.value):
                assert one.why is None, (name, proxy)
            else:
                assert math.isnan(one.value), (name, proxy)
                assert one.why, (name, proxy)
                assert "\n" not in one.why
    found = {(n, p): one.why for n in MODELS for p, one in together(n).items() if one.why}
    assert set(found) == set(UNDEFINED)
    assert all(words in str(found[case]) for case, words in UNDEFINED.items())


@pytest.mark.parametrize("proxy", ALL)
def test_a_declared_bound_holds(proxy: str) -> None:
    bound = PROXIES[proxy].bound
    values = [one.value for n in MODELS if (one := together(n)[proxy]).why is None]
    assert values
    if bound == "≥ 0":
        assert min(values) >= 0
    if proxy == "az_trainability":
        assert max(values) <= 1e-6
    if proxy == "swap":
        assert max(values) == 2**SAMPLES
    if proxy == "jacob_cov":
        assert max(values) <= -6 * (1 - 1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_a_float64_model_is_scored_in_float64(name: str) -> None:
    """The values have digits that float32 does not have, and agree with those of float32 to 1 %."""
    model, batch = make(name, torch.float64)
    for proxy, one in score(model, batch, ALL).items():
        if one.why or proxy in WHOLE or (name, proxy) in ZERO:
            assert together(name)[proxy].value == pytest.approx(one.value, rel=0, nan_ok=True)
            continue
        assert float(np.float32(one.value)) != one.value, proxy
        assert together(name)[proxy].value == pytest.approx(one.value, rel=1e-2), proxy


@pytest.fixture
def crowded() -> Iterator[nn.Module]:
    """A model with a hook of the user that fails."""
    model, _ = make("conv_bn_relu")

    def fail(*_: object) -> None:
        raise RuntimeError("a hook of the user's")

    handle = model[3].register_forward_hook(fail)
    yield model
    handle.remove()


def test_a_failure_half_way_restores_everything(crowded: nn.Module) -> None:
    _, batch = make("conv_bn_relu")
    crowded.eval()
    before, random_before = portrait(crowded), streams()
    for proxy in ALL:
        if explain(proxy).plan.passes != ("read",):
            with pytest.raises(ValueError, match="a hook of the user's"):
                score(crowded, batch, proxy)
    assert portrait(crowded) == before
    assert streams() == random_before


@pytest.mark.parametrize("name", MODELS)
def test_only_what_says_so_draws_numbers_of_its_own(name: str) -> None:
    if MODELS[name].random:
        return
    model, batch = make(name)
    one, other = score(model, batch, list(PROXIES)), score(model, batch, list(PROXIES), seed=1)
    changed = {k for k in PROXIES if one[k].why is None and one[k].value != other[k].value}
    assert changed == {k for k in drawing(name) if one[k].why is None}
