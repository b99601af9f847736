"""Every argument of every public function refuses what it cannot take, and names it.

The table says of each argument which of the values below it accepts; all others must be refused
with ForetellError or TypeError in one line that names the argument, or shows the name that was
given. Nothing of the size of 10**30 is tried out: it is refused as quickly as anything else.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from torch import nn

import foretell
from foretell import Batch, Choices, ForetellError, ScoreSettings, TrainSettings
from foretell.executors import Processes, RayExecutor
from foretell.integrations.optuna import ZeroCostSampler
from foretell.rankings.vote import vote
from foretell.searchers import RandomSearch
from foretell.spaces import NASBench201
from foretell.tables import Table
from foretell.testing import (
    Splits,
    check_data,
    check_proxy,
    check_searcher,
    check_space,
    distinct,
    unregister,
)

MODULES = ("foretell", "foretell.testing", "foretell.executors", "foretell.integrations.optuna")

RECORDS = {
    "Candidate", "Progress", "Question", "Score",
    "ForetellError", "OutOfMemory", "RunStateError", "UnknownName",
}  # fmt: skip
"""What foretell makes and hands out; users read these."""
NO_ARGUMENTS = {"MODELS", "__version__", "freeze_objects", "keep_memory"}

WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "''": lambda: "",
    "text": lambda: "nosuch",
    "NUL": lambda: "a\0b",
    "long": lambda: "a" * 300,
    "bytes": lambda: b"nosuch",
    "-1": lambda: -1,
    "0": lambda: 0,
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "2**64": lambda: 2**64,
    "10**30": lambda: 10**30,
    "True": lambda: True,
    "[]": list,
    "[None]": lambda: [None],
    "[1.5]": lambda: [1.5],
    "['nosuch']": lambda: ["nosuch"],
    "{}": dict,
    "{'params': nan}": lambda: {"params": float("nan")},
    "set": lambda: {1, 2},
    "generator": lambda: (number for number in (1, 2)),
    "array": lambda: np.array(["nosuch"]),
    "tensor": lambda: torch.tensor([1.5, 2.5]),
    "object": object,
    "class": lambda: nn.Linear,
    "module": lambda: nn.Linear(2, 2),
    "lambda": lambda: lambda anything: anything,
}

KINDS: dict[str, set[str]] = {
    "integer": set(),
    "integer from 0": {"0"},
    "number from 0": {"0", "1.5", "2**64", "10**30"},
    "number above 0": {"1.5", "2**64", "10**30"},
    "share": {"0"},
    "flag": {"True"},
    "word": set(),
    "name": set(),
    "names": {"[]"},
    "text": {"text", "NUL", "long"},
    "text or nothing": {"''", "text", "NUL", "long"},
    "path": {"text"},
    "space": set(),
    "function": {"lambda", "class", "module"},
    "progress": {"lambda", "class", "module", "True"},
    "instance": set(),
    "tensor": {"tensor"},
    "dict": {"{}", "{'params': nan}"},
    "limits": {"{}"},
    "targets": set(WRONG),
    "loss": {"lambda", "module"},
    "model": {"module"},
    "models": {"lambda", "class", "module"},
    "batches": {"lambda", "class", "module"},
}
"""For each kind of argument, the values above that it accepts, or that fail for other reasons."""
KINDS |= {f"{kind}, or None": accepted | {"None"} for kind, accepted in KINDS.items()}


@dataclass(frozen=True)
class Door:
    """A public function, arguments that it accepts, and the kind of each."""

    call: Callable[..., Any]
    valid: Callable[[], dict[str, Any]]
    kinds: dict[str, str]


SCORING = {
    "loss": "loss", "layers": "word", "batch_norm": "word", "micro_batch": "integer, or None",
    "precision": "word", "faster": "flag", "verify": "flag",
}  # fmt: skip
"""The arguments of everything that scores."""
DATA = "random:1x8x8x3?images=30"
QUICK = TrainSettings(epochs=1)


def net() -> nn.Module:
    """A network that can be scored."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two samples of three classes."""
    return torch.ones(2, 1, 8, 8), torch.tensor([0, 2])


@cache
def splits() -> Splits:
    """A small data set."""
    return foretell.load_data(DATA)


def space() -> NASBench201:
    """A space of small networks."""
    return NASBench201(channels=2, cells=1, classes=3, in_channels=1, resolution=8)


def table() -> Table:
    """A table of four architectures."""
    frame = pd.DataFrame({"test": [1.0, 2, 4, 3]}, ["000000", "111111", "222222", "333333"])
    return Table("mine", "nb201", frame, reporting=("test",))


RUNS: dict[str, Path] = {}
"""A finished search and a finished study."""


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fill `RUNS`."""
    few: dict[str, Any] = {"proxies": ["params"], "batch_size": 2}
    folder = tmp_path_factory.mktemp("runs")
    RUNS["search"], RUNS["study"] = folder / "search", folder / "study"
    search: dict[str, Any] = {"by": "params", "pool": 1, "trainings": 1, "training": QUICK}
    foretell.search(space(), DATA, run=RUNS["search"], **search, **few)
    small = "nb201?channels=2,cells=1"
    foretell.run_study(table(), DATA, run=RUNS["study"], sample=4, space=small, **few)


def of_scoring(**own: Any) -> dict[str, Any]:
    """The arguments of a function that scores."""
    every = {field.name: field.default for field in fields(ScoreSettings)}
    return {**own, "scoring": ScoreSettings(), **every}


DOORS: dict[str, Door] = {
    "Batch": Door(
        lambda **given: foretell.score(net(), Batch(**given), "snip"),
        lambda: dict(zip(("inputs", "targets"), batch(), strict=True)),
        {"inputs": "instance", "targets": "targets"},
    ),
    "Choices": Door(
        Choices,
        lambda: {"make": net, "options": {"width": [2, 4]}},
        {
            "make": "function", "options": "instance", "valid": "function, or None",
            "same": "function, or None", "name": "text", "origin": "text or nothing",
        },
    ),
    "ScoreSettings": Door(ScoreSettings, dict, SCORING),
    "TrainSettings": Door(
        TrainSettings,
        dict,
        {
            "epochs": "integer", "stop_after": "integer, or None", "batch_size": "integer",
            "lr": "number above 0", "momentum": "share", "nesterov": "flag",
            "weight_decay": "number from 0", "augmentation": "word", "optimizer": "word",
            "patience": "integer, or None", "precision": "word",
        },
    ),
    "explain": Door(
        foretell.explain,
        lambda: of_scoring(proxies="snip", model=net(), batch=batch()),
        {
            "proxies": "name", "model": "model", "batch": "instance",
            "batch_size": "integer, or None", "scoring": "instance", **SCORING,
        },
    ),
    "first_batch": Door(
        foretell.first_batch,
        lambda: {"loader": [batch()], "size": 2},
        {"loader": "instance", "size": "integer", "balanced": "flag"},
    ),
    "fit_batch": Door(
        foretell.fit_batch,
        lambda: {"batch": Batch(*batch()), "text": "nb201:333333", "splits": splits()},
        {
            "batch": "instance", "text": "name", "splits": "instance", "seed": "integer from 0",
            "pretrained": "flag",
        },
    ),
    "judge": Door(
        foretell.judge,
        lambda: {"study": RUNS["study"]},
        {"study": "path", "truths": "names"},
    ),
    "load_chosen": Door(
        foretell.load_chosen,
        lambda: {"run": RUNS["search"]},
        {"run": "path", "space": "space, or None", "retrained": "flag"},
    ),
    "load_data": Door(foretell.load_data, lambda: {"text": DATA}, {"text": "name"}),
    "load_model": Door(
        foretell.load_model,
        lambda: {"text": "nb201:333333?channels=2,cells=1", "splits": splits()},
        {"text": "name", "splits": "instance", "seed": "integer from 0", "pretrained": "flag"},
    ),
    "minibatch": Door(
        foretell.minibatch,
        lambda: {"part": splits().train, "size": 2, "seed": 0},
        {"part": "instance", "size": "integer", "seed": "integer from 0"},
    ),
    "rank": Door(
        foretell.rank,
        lambda: of_scoring(models=[net()], batches=batch(), proxies="snip"),
        {
            "models": "instance", "batches": "batches", "proxies": "name, or None",
            "by": "word, or None", "at_equal": "word, or None", "best": "integer, or None",
            "reduced": "instance, or None",
            "seeds": "instance", "scoring": "instance", "progress": "progress, or None", **SCORING,
        },
    ),
    "read_table": Door(
        foretell.read_table,
        lambda: {"name_or_path": "here"},
        {"name_or_path": "path", "space": "text, or None"},
    ),
    "register": Door(
        foretell.register,
        lambda: {"source": "a test"},
        {"source": "text", "higher_is_better": "flag", "bound": "text or nothing", "draws": "flag"},
    ),
    "retrain": Door(
        foretell.retrain,
        lambda: {"run": RUNS["search"], "training": QUICK, "data": splits()},
        {
            "run": "path", "training": "instance", "data": "name, or None",
            "space": "space, or None", "seed": "integer from 0", "device": "name",
            "progress": "progress, or None",
        },
    ),
    "run_study": Door(
        foretell.run_study,
        lambda: {"table": table(), "data": splits(), "run": "run", "batch_size": 2, "sample": 3},
        {
            "table": "name", "data": "name", "run": "path", "proxies": "name",
            "sample": "integer, or None", "repeats": "integer", "batch_size": "integer",
            "seed": "integer from 0", "space": "name, or None", "reduced": "names",
            "reduced_network": "flag", "device": "name", "scoring": "instance",
            "workers": "integer", "executor": "instance, or None",
            "progress": "progress, or None", "told": "function",
        },
    ),
    "score": Door(
        foretell.score,
        lambda: of_scoring(model=net(), batch=batch(), proxies="snip"),
        {
            "model": "model", "batch": "instance", "proxies": "name", "seed": "integer from 0",
            "scoring": "instance", **SCORING,
        },
    ),
    "score_many": Door(
        foretell.score_many,
        lambda: of_scoring(model=net(), batches=batch(), proxies="snip"),
        {
            "model": "models", "batches": "instance", "proxies": "name", "seeds": "instance",
            "scoring": "instance", "progress": "progress, or None", **SCORING,
        },
    ),
    "search": Door(
        foretell.search,
        lambda: {
            "space": space(), "data": splits(), "run": "run", "proxies": "params", "by": "params",
            "pool": 2, "trainings": 1, "batch_size": 2, "training": QUICK,
        },
        {
            "space": "space", "data": "name", "run": "path", "proxies": "name",
            "by": "name, or None",
            "searcher": "name", "pool": "integer, or None", "trainings": "integer",
            "batch_size": "integer",
            "seed": "integer from 0", "training": "instance",
            "evaluate": "word, or None", "evaluate_command": "word, or None",
            "evaluate_timeout": "word, or None", "lower_is_better": "word",
            "first_stage": "word, or None",
            "compare": "flag", "compare_size": "flag",
            "against": "names", "limits": "limits, or None", "device": "name",
            "scoring": "instance", "reduced_network": "flag", "workers": "integer",
            "executor": "instance, or None", "progress": "progress, or None",
        },
    ),
    "tell": Door(
        foretell.tell,
        lambda: {"run": RUNS["search"], "results": {"333333": 50.0}, "space": space()},
        {"run": "path", "results": "dict", "space": "space, or None"},
    ),
    "write_report": Door(
        foretell.write_report,
        lambda: {"run": RUNS["study"]},
        {"run": "path", "out": "path, or None", "truths": "names"},
    ),
    "Splits": Door(
        Splits,
        lambda: {"name": "mine", "classes": 3} | dict.fromkeys(("train", "val", "test"), batch()),
        {
            "name": "text", "classes": "integer", "train": "instance", "val": "instance",
            "test": "instance", "vocabulary": "instance, or None", "note": "text or nothing",
        },
    ),
    "check_data": Door(
        check_data, lambda: {"data": splits()}, {"data": "function", "disjoint": "flag"}
    ),
    "calibrate": Door(
        foretell.calibrate,
        lambda: {"scores": pd.DataFrame({"name": ["a", "b", "c"], "snip": [1.0, 2.0, 3.0]})},
        {
            "scores": "instance", "results": "dict, or None", "lower_is_better": "flag",
            "next": "integer",
        },
    ),
    "check_proxy": Door(
        check_proxy,
        lambda: {"name": "params", "model": "plain"},
        {"name": "name", "model": "name, or None"},
    ),
    "check_searcher": Door(
        check_searcher,
        lambda: {"make": RandomSearch, "spaces": [space()]},
        {"make": "function", "spaces": "names"},
    ),
    "check_space": Door(
        check_space,
        lambda: {"space": space(), "samples": 1},
        {
            "space": "space", "samples": "integer", "batch": "tensor, or None",
            "seed": "integer from 0",
        },
    ),
    "distinct": Door(
        lambda **given: next(distinct(**given)),
        lambda: {"space": space(), "seed": 0},
        {"space": "space", "seed": "integer from 0"},
    ),
    "unregister": Door(unregister, dict, {"name": "name"}),
    "Processes": Door(Processes, dict, {"workers": "integer"}),
    "RayExecutor": Door(
        RayExecutor,
        lambda: {"address": "127.0.0.1:1"},
        {
            "address": "text, or None", "gpus_per_task": "number from 0, or None",
            "cpus_per_task": "number from 0", "runtime_env": "dict, or None",
        },
    ),
    "ZeroCostSampler": Door(
        ZeroCostSampler,
        lambda: of_scoring(
            sampler=optuna.samplers.RandomSampler(seed=0), define=net, batch=batch(), proxy="snip"
        ),
        {
            "sampler": "instance", "define": "function", "batch": "instance", "proxy": "name",
            "score": "function, or None", "scoring": "instance", "warmup": "integer from 0",
            "first": "integer, or None", "moves": "integer", "seed": "integer from 0", **SCORING,
        },
    ),
}  # fmt: skip


def public() -> Iterator[tuple[str, Any]]:
    """Every public name with what it stands for."""
    for module in map(import_module, MODULES):
        for name in module.__all__:
            yield name, getattr(module, name)


def parameters_of(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments; those of `ScoreSettings` in the place of `**choices`."""
    names = list(inspect.signature(function).parameters)
    return names[:-1] + list(SCORING) if names[-1:] == ["choices"] else names


def test_every_public_function_is_in_the_table() -> None:
    assert {name for name, _ in public()} == DOORS.keys() | RECORDS | NO_ARGUMENTS


def test_every_argument_is_in_the_table() -> None:
    for name, function in public():
        if name in DOORS:
            assert parameters_of(function) == list(DOORS[name].kinds), name


@pytest.mark.parametrize(
    ("door", "argument"), [(name, one) for name, door in DOORS.items() for one in door.kinds]
)
def test_what_an_argument_does_not_take_is_refused(
    door: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, valid, kinds = DOORS[door].call, DOORS[door].valid, DOORS[door].kinds
    for value in WRONG.keys() - KINDS[kinds[argument]]:
        given = WRONG[value]()
        with pytest.raises((ForetellError, TypeError)) as caught:
            call(**{**valid(), argument: given})
        said = str(caught.value)
        assert "\n" not in said, f"{value}: {said}"
        assert len(said) < 700, f"{value}: {said}"
        assert names(said, argument, value), f"{value}: {said}"
    assert not list(tmp_path.iterdir())


UNFIT: dict[str, tuple[Callable[[], object], str]] = {
    "mismatched lengths": (
        lambda: foretell.minibatch((batch()[0], torch.tensor([1])), 1, 0),
        "part has 2 samples and 1 labels",
    ),
    "a billion options": (lambda: Choices(net, {"width": range(10**9)}), "at most 1,000,000"),
    "complex labels": (
        lambda: foretell.minibatch((batch()[0], torch.tensor([1j, 2])), 1, 0),
        "the second of part is",
    ),
    "a frame that is none": (lambda: Table("mine", "nb201", 3), "frame is 3"),  # type: ignore[arg-type]
    "scores of two names": (
        lambda: foretell.calibrate(pd.DataFrame([["a", 1, 2]], columns=["name", "snip", "snip"])),
        "two columns called 'snip'",
    ),
    "complex results": (
        lambda: foretell.calibrate(
            pd.DataFrame({"name": ["a", "b", "c"], "snip": [1.0, 2.0, 3.0]}), {"a": 1j}
        ),
        "values that are not numbers",
    ),
    "a seed of noise": (lambda: foretell.load_data("random:1x8x8x3?seed=x"), "seed is 'x'"),
    "True noise": (lambda: foretell.load_data("random:1x8x8x3?images=true"), "images is True"),
    "nan as an option": (lambda: Choices(net, {"width": [float("nan")]}), "the option nan"),
    "complex scores": (
        lambda: vote(pd.DataFrame({"synflow": [1j, 2]}), ["synflow"]),
        "the column 'synflow' of scores contains a value that is not a number",
    ),
    "a column twice": (
        lambda: vote(pd.DataFrame([[1.0, 2]], columns=["snip", "snip"]), ["snip"]),
        "several columns 'snip'",
    ),
    "results that are true": (
        lambda: foretell.calibrate(
            pd.DataFrame({"name": ["a", "b", "c"], "snip": [1.0, 2.0, 3.0]}), {"a": True}
        ),
        "values that are not numbers",
    ),
    "no searcher": (lambda: check_searcher(lambda space, seed: 3), "ask and tell"),
    "two sizes of a batch": (
        lambda: foretell.explain("snip", net(), batch(), batch_size=3),
        "batch_size has no effect with a batch",
    ),
    "a parameter of SGD": (
        lambda: TrainSettings(optimizer="adamw", momentum=0.5),
        "no effect on adamw",
    ),
    "a score where all count": (
        lambda: foretell.search(space(), DATA, run="run", searcher="guided", by="snip"),
        "no effect on the searcher guided",
    ),
}
"""Values of the right types that do not fit together, and what is said of them."""


@pytest.mark.parametrize("what", UNFIT)
def test_what_does_not_fit_together_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, said = UNFIT[what]
    with pytest.raises(ForetellError, match=re.escape(said)) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_texts_of_numbers_are_ordered_as_numbers() -> None:
    texts = pd.DataFrame({"snip": ["9.0", "10.0", "nan"]})
    assert vote(texts, ["snip"]).tolist() == [2, 1, 3]


def names(said: str, argument: str, value: str) -> bool:
    """Whether a message names the argument, in the singular or plural, or shows the text given."""
    word = {"proxies": "prox(y|ies)", "batches": "batch(es)?"}.get(argument, f"{argument}")
    text = {"''": "", "text": "nosuch", "['nosuch']": "nosuch", "array": "nosuch", "NUL": "a\0b"}
    shown = "a" * 20 if value == "long" else repr(text.get(value, said))
    return bool(re.search(rf"\b{word}\b", said)) or shown in said
