"""The arithmetic of a GPU is set and restored; these tests do not need a GPU."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from foretell import ForetellError, search
from foretell.cli import main
from foretell.data import load_data
from foretell.engine.arithmetic import arithmetic, exactly, newer, switches
from foretell.engine.faster import channels_last as layout
from foretell.engine.faster.channels_last import pays
from foretell.engine.plan import make_plan
from foretell.executors.processes import InThisProcess
from foretell.runs.evaluate import Evaluator
from foretell.runs.store import Store
from foretell.runs.work import Work
from foretell.scoring.settings import ScoreSettings
from foretell.spaces import make_space
from foretell.studies.run import run_study
from foretell.tables import Table
from foretell.training.settings import TrainSettings
from foretell.training.train import train


def switched() -> list[Any]:
    """All switches; torch raises an error if a newer flag contradicts an older one."""
    cudnn, backends = torch.backends.cudnn, torch.backends
    steady = [
        cudnn.benchmark,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    ]
    newer = [getattr(backends, "fp32_precision", None), getattr(cudnn, "fp32_precision", None)]
    return [switches(), newer, *steady]


def older(multiply: str, convolve: bool) -> None:
    torch.set_float32_matmul_precision(multiply)
    torch.backends.cudnn.allow_tf32 = convolve


def wish(name: str, value: str) -> None:
    owner, _, attribute = f"{name}fp32_precision".rpartition(".")
    found: Any = torch.backends
    for part in filter(None, owner.split(".")):
        found = getattr(found, part)
    setattr(found, attribute, value)


WISHES: dict[str, Callable[[], object]] = {
    "none": lambda: None,
    "older": lambda: older("high", True),
    "bfloat16 parts": lambda: older("medium", False),
    "all": lambda: wish("", "tf32"),
    "one": lambda: wish("cuda.matmul.", "tf32"),
    "contradiction": lambda: (older("high", True), wish("cudnn.conv.", "ieee")),
}


@pytest.fixture(params=WISHES)
def wished(request: pytest.FixtureRequest) -> Iterator[None]:
    """The user's own settings; afterwards, the defaults are restored."""
    if not newer() and request.param not in ("none", "older", "bfloat16 parts"):
        pytest.skip("this torch has no newer flags")
    generic = getattr(torch.backends, "fp32_precision", None)
    WISHES[request.param]()
    yield
    if generic is not None:
        torch.backends.fp32_precision = generic
    older("highest", True)
    for owner, usual in zip(newer(), ("none", "tf32", "tf32"), strict=False):
        owner.fp32_precision = usual


@pytest.mark.usefixtures("wished")
@pytest.mark.parametrize("tf32", [False, True])
def test_what_is_switched_comes_back(tf32: bool) -> None:
    """This holds even after an error."""
    before = switched()
    within: list[Any] = []
    with suppress(ZeroDivisionError), exactly(tf32=tf32):
        within += switched()
        raise ZeroDivisionError
    (*old, precisions), (*came_back, same) = before[0], switches()
    assert precisions == same
    assert [b for a, b in zip(old, came_back, strict=True) if a is not None] == [
        a
        for a in old
        if a is not None  # torch does not tell the flags that contradicted the newer ones
    ]
    assert switched()[1:] == before[1:]
    multiply, convolve, precisions = within[0]
    assert multiply in ("high" if tf32 else "highest", None)
    assert convolve in (tf32, None)
    assert all((precision == "tf32") == tf32 for precision in precisions)
    assert within[-5:] == [False, True, True, True, False]


@pytest.mark.parametrize("tf32", [False, True])
def test_a_model_may_read_the_older_flags(tf32: bool) -> None:
    with exactly(tf32=tf32):
        assert torch.backends.cuda.matmul.allow_tf32 == tf32
        assert torch.backends.cudnn.allow_tf32 == tf32


def test_a_stricter_wish_of_the_users_stands() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with exactly():
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_nothing_is_switched_for_the_cpu() -> None:
    before = switched()
    with arithmetic(torch.device("cpu"), tf32=True):
        assert switched() == before
    with arithmetic(torch.device("cuda")):
        assert switched() != before


def test_what_torch_says_of_every_matrix_product_is_not_passed_on() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with exactly():
            warnings.warn("Deterministic behavior was enabled, but it uses CuBLAS", stacklevel=1)
            warnings.warn("cumsum does not have a deterministic implementation", stacklevel=1)
        assert [str(one.message)[:6] for one in heard] == ["cumsum"]


class OnGPU:
    """An imitation of a tensor on a GPU."""

    ndim, is_cuda = 4, True

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


@pytest.mark.parametrize(
    ("dtype", "tf32", "expected"),
    [
        (torch.float32, False, False),
        (torch.float32, True, True),
        (torch.bfloat16, False, True),
        (torch.float16, False, True),
        (torch.float64, True, False),
    ],
)
def test_pictures_are_turned_where_a_gpu_has_units_for_it(
    dtype: torch.dtype, tf32: bool, expected: bool
) -> None:
    weight: Tensor = torch.empty(64, 3, 3, 3)
    assert pays(OnGPU(dtype), weight, tf32=tf32) == expected  # type: ignore[arg-type]


def keys(tmp_path: Path, device: str, tf32: bool) -> list[dict[str, Any]]:
    """The row keys of a score and a training on a device."""
    space = make_space("nb201", {"channels": 2, "cells": 1})
    plan = make_plan(["snip"])
    how = ScoreSettings(precision="tf32" if tf32 else "full")
    work = Work(space, "digits", plan, "snip", 8, TrainSettings(), 0, device, how)
    with Store.open(tmp_path, {}) as store:
        evaluator = Evaluator(work, store, InThisProcess(), 1, lambda tick: None)
        arch = space.parse("333333")
        return [evaluator._score_row(arch, "snip").key(), evaluator._train_row(arch).key()]


def test_rows_of_a_gpu_are_rows_of_their_own(tmp_path: Path) -> None:
    """The last digits differ; which of several GPUs it was does not matter."""
    cpu, still_cpu = keys(tmp_path, "cpu", False), keys(tmp_path, "cpu", True)
    one, other, fast = (
        keys(tmp_path, "cuda", False),
        keys(tmp_path, "cuda:1", False),
        keys(tmp_path, "cuda", True),
    )
    assert cpu == still_cpu
    assert all("device" not in key for key in cpu)
    assert one == other == [key | {"device": "cuda"} for key in cpu]
    assert fast == [one[0] | {"tf32": True}, one[1]]


def test_tf32_is_refused_for_a_training_on_the_cpu() -> None:
    splits = load_data("digits")
    with pytest.raises(ForetellError, match="tf32 requires a GPU"):
        train(torch.nn.Linear(64, 10), splits, TrainSettings(precision="tf32"), 0)


def test_a_run_is_of_one_kind_of_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder records the kind; a search started on a CPU is not continued on a GPU."""
    quick = {"space": "nb201?channels=2,cells=1", "pool": 2, "trainings": 1, "proxies": ["snip"]}
    quick |= {"by": "snip", "training": TrainSettings(epochs=1), "run": tmp_path / "run"}
    search(**quick)
    monkeypatch.setattr("foretell.engine.device.pick_device", torch.device)  # as if there were one
    with pytest.raises(ForetellError, match='device was absent, now "cuda"'):
        search(device="cuda", **quick)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The setting of TF32 that is passed to the arithmetic and to the layout of each scoring."""
    heard: list[bool] = []

    @contextmanager
    def noted(device: torch.device, *, tf32: bool) -> Iterator[None]:
        heard.append(tf32)
        yield

    def asked(x: Tensor, weight: Tensor, *, tf32: bool) -> bool:
        heard.append(tf32)
        return False

    monkeypatch.setattr(import_module("foretell.scoring.score"), "arithmetic", noted)
    monkeypatch.setattr(layout, "pays", asked)
    monkeypatch.setattr("foretell.cli.ignored.computes_on_cpu", lambda *given: False)
    return heard


SMALL = "nb201?channels=2,cells=1"


@pytest.mark.parametrize("tf32", [False, True])
def test_the_wish_for_tf32_gets_to_where_it_matters(
    tf32: bool, told: list[bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This holds in Python, for the task of a run, and for both commands that score."""
    wish = ["--tf32"] if tf32 else []
    how = ScoreSettings(precision="tf32" if tf32 else "full")
    usual = ["nb201:333333", "--proxies", "snip", "--batch-size", "4"]
    assert main(["score", *usual, *wish]) == 0
    assert main(["rank", *usual, "--by", "snip", *wish]) == 0
    assert told == [tf32] * 4
    search(
        SMALL,
        run=tmp_path / "run",
        proxies=["snip"],
        by="snip",
        pool=1,
        trainings=1,
        training=TrainSettings(epochs=1),
        scoring=how,
    )
    assert len(told) > 4
    frame = pd.DataFrame({"val": [1.0, 2.0, 3.0]}, index=["333333", "133333", "233333"])
    table = Table("three", "nb201", frame, choosing=("val",))
    before = len(told)
    run_study(table, "digits", run=tmp_path / "study", proxies=["snip"], space=SMALL, scoring=how)
    assert len(told) == before + 8  # of which 2 try whether the scores can be computed
    assert set(told) == {tf32}
