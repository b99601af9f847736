"""ZeroCostSampler around Optuna's samplers: what it suggests, when, and how much it helps."""

import contextlib
import importlib
import itertools
import math
import pickle
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import BaseTrial, FixedTrial
from torch import nn

from foretell.errors import ForetellError
from foretell.integrations.optuna import ZeroCostSampler
from foretell.proxies import PROXIES

Params = dict[str, Any]


def cma_es(seed: int) -> BaseSampler:
    pytest.importorskip("cmaes")
    return CmaEsSampler(seed=seed, n_startup_trials=3, warn_independent_sampling=False)


def joint_tpe(seed: int) -> BaseSampler:
    """TPE that draws all parameters of a trial jointly, which Optuna warns is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, n_startup_trials=3, multivariate=True)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=3),
    "joint tpe": joint_tpe,
    "cma-es": cma_es,
}


@pytest.fixture(autouse=True)
def quiet() -> Any:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def widths(trial: BaseTrial) -> int:
    """Up to three layers, each with its own width: the parameters depend on earlier suggestions."""
    return sum(
        trial.suggest_int(f"width{i}", 1, 30) for i in range(trial.suggest_int("depth", 1, 3))
    )


def objective(trial: BaseTrial) -> float:
    return widths(trial) * trial.suggest_float("rate", 0.1, 1, log=True)


def around(sampler: BaseSampler, define: Any = widths, **options: Any) -> ZeroCostSampler:
    options = {"score": float, "warmup": 20, "first": 5} | options
    return ZeroCostSampler(sampler, define, **options)


def run(sampler: BaseSampler, trials: int, **options: Any) -> list[Params]:
    """The parameters of each trial of a new study."""
    study = optuna.create_study(direction="maximize", sampler=sampler, **options)
    study.optimize(objective, n_trials=trials)
    return [trial.params for trial in study.trials]


def asked(params: Params) -> Params:
    """The parameters that `widths` requests."""
    return {name: value for name, value in params.items() if name != "rate"}


def best(sampler: ZeroCostSampler, count: int) -> list[Params]:
    return [dict(one.params) for one in sampler.scored[:count]]


@pytest.mark.parametrize("moves", [1, 4])
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_best_of_the_warmup_come_first_and_the_rest_is_left_to_the_sampler(
    name: str, moves: int
) -> None:
    sampler = around(SAMPLERS[name](1), seed=7)
    first = run(sampler, 5)
    scores = [widths(FixedTrial(asked(params))) for params in first]
    assert scores == sorted(scores, reverse=True)
    assert [asked(params) for params in first] == best(sampler, 5)
    assert len(sampler.scored) == 20
    assert len({params["rate"] for params in first}) == 5  # `widths` does not request it
    both = [run(around(SAMPLERS[name](1), moves=moves, seed=7), 12) for _ in range(2)]
    assert both[0] == both[1]
    assert both[0][:5] == first
    assert run(around(SAMPLERS[name](1), moves=moves, seed=8), 5) != first


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_without_warmup_and_moves_the_sampler_is_as_it_was(name: str) -> None:
    assert run(around(SAMPLERS[name](3), warmup=0, first=0), 10) == run(SAMPLERS[name](3), 10)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_move_is_the_best_of_what_the_sampler_suggests(name: str) -> None:
    seen: list[int] = []

    def noted(width: int) -> float:
        seen.append(width)
        return width

    study = optuna.create_study(
        direction="maximize",
        sampler=around(SAMPLERS[name](2), warmup=0, first=0, moves=8, score=noted),
    )
    for _ in range(8):
        seen.clear()
        trial = study.ask()
        width = widths(trial)
        fresh = len(seen)
        assert 1 <= fresh <= 8  # known ones are not scored again
        assert width >= max(seen)
        study.tell(trial, width)


def test_a_move_is_rather_one_that_no_trial_has_had() -> None:
    def define(trial: BaseTrial) -> int:
        return trial.suggest_int("width", 1, 6)

    sampler = around(RandomSampler(seed=0), define, warmup=0, first=0, moves=60)
    study = optuna.create_study(sampler=sampler)
    assert [define(study.ask()) for _ in range(6)] == [6, 5, 4, 3, 2, 1]
    assert 1 <= define(study.ask()) <= 6  # no other is left


def test_a_space_smaller_than_the_warmup_is_suggested_once() -> None:
    def define(trial: BaseTrial) -> int:
        return trial.suggest_int("width", 1, 4)

    study = optuna.create_study(sampler=around(RandomSampler(seed=0), define, first=20))
    assert [define(study.ask()) for _ in range(4)] == [4, 3, 2, 1]
    assert 1 <= define(study.ask()) <= 4


def test_undefined_scores_and_impossible_models_come_last() -> None:
    def define(trial: BaseTrial) -> int:
        kind = trial.suggest_categorical("kind", ["nan", "raises", "pruned", "inf", *"abcd"])
        if kind == "raises":
            raise RuntimeError("no such\nmodel")
        if kind == "pruned":
            raise optuna.TrialPruned
        return {"nan": math.nan, "inf": math.inf}.get(kind, ord(kind[0]))

    sampler = around(RandomSampler(seed=0), define, warmup=8, first=8, moves=8)
    study = optuna.create_study(sampler=sampler)
    kinds = []
    for _ in range(30):
        trial = study.ask()
        with contextlib.suppress(RuntimeError, optuna.TrialPruned):
            define(trial)
        kinds.append(trial.params["kind"])
    assert kinds[:4] == list("dcba")
    assert set(kinds[4:8]) == {"nan", "raises", "pruned", "inf"}
    assert set(kinds[8:]) <= set("abcd")  # all have been tried, so the best-scored move is repeated
    why = {one.params["kind"]: one.why for one in sampler.scored}
    assert why["a"] is None
    assert why["raises"] == "RuntimeError: no such model"
    assert why["nan"] == "the score is nan"


def test_where_nothing_has_a_score_it_says_why() -> None:
    def define(trial: BaseTrial) -> None:
        trial.suggest_int("width", 1, 4)
        raise RuntimeError("no GPU")

    study = optuna.create_study(sampler=around(RandomSampler(seed=0), define))
    with pytest.raises(ForetellError, match=r"none of the 4 candidates.*no GPU"):
        study.ask().suggest_int("width", 1, 4)


def test_workers_of_one_storage_share_the_warmup(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    samplers = [around(RandomSampler(seed=seed), first=8, seed=5) for seed in (1, 2)]
    studies = [
        optuna.create_study(storage=storage, study_name="s", sampler=s, load_if_exists=True)
        for s in samplers
    ]
    trials = [study.ask() for _ in range(4) for study in studies]
    for trial in reversed(trials):  # in any order
        widths(trial)
    assert [trial.params for trial in trials] == best(samplers[0], 8) == best(samplers[1], 8)
    # A study whose warmup is over continues, even with a new sampler.
    resumed = around(RandomSampler(seed=3), first=8, seed=5)
    optuna.load_study(storage=storage, study_name="s", sampler=resumed).optimize(widths, n_trials=3)
    restored = [dict(candidate.params) for candidate in resumed.scored]
    assert restored == [trial.params for trial in trials]  # from the storage, and none is new


def test_threads_share_the_warmup() -> None:
    sampler = around(TPESampler(seed=0), first=10, moves=2, seed=5)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=14, n_jobs=2)
    first = sorted(study.trials, key=lambda trial: trial.number)[:10]
    expected = around(TPESampler(seed=1), first=10, seed=5)
    assert [asked(p.params) for p in first] == [asked(p) for p in run(expected, 10)]


def test_enqueued_trials_take_nothing_from_the_warmup() -> None:
    sampler = around(RandomSampler(seed=0))
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=2)
    study.enqueue_trial({"depth": 1, "width0": 3, "rate": 0.5})
    study.enqueue_trial({"rate": 0.25})
    study.optimize(objective, n_trials=5)
    params = [trial.params for trial in study.trials]
    assert params[2] == {"depth": 1, "width0": 3, "rate": 0.5}
    assert params[3]["rate"] == 0.25
    assert [asked(p) for p in params[:2] + params[4:]] == best(sampler, 5)


def test_hyperband_brackets_share_the_warmup() -> None:
    def reported(trial: optuna.Trial) -> float:
        value = objective(trial)
        for step in range(9):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    sampler = around(TPESampler(seed=0), first=12, moves=2)
    pruner = optuna.pruners.HyperbandPruner(1, 9)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(reported, n_trials=16)
    warmup = [asked(trial.params) for trial in study.trials[:12]]
    assert warmup == [asked(p) for p in run(around(RandomSampler(seed=0), first=12), 12)]


def test_it_can_be_wrapped_itself() -> None:
    sampler = around(TPESampler(seed=0), moves=2)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        fixed = PartialFixedSampler({"depth": 2}, sampler)
    assert {params["depth"] for params in run(fixed, 8)} == {2}


@pytest.mark.parametrize("fixed", [{"depth": 2}, {"depth": 3, "width1": 5}])
def test_the_warmup_keeps_fixed_what_the_sampler_holds_fixed(fixed: dict[str, int]) -> None:
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        inner = PartialFixedSampler(fixed, TPESampler(seed=0))
    for params in run(around(inner, first=6), 9):
        assert {name: params[name] for name in fixed} == fixed


def test_it_survives_being_pickled() -> None:
    sampler = around(RandomSampler(seed=0))
    first = run(sampler, 2)
    again: ZeroCostSampler = pickle.loads(pickle.dumps(sampler))
    assert again.scored == sampler.scored
    assert [asked(params) for params in run(again, 2)] == [asked(params) for params in first]


def net(trial: BaseTrial) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    width = 8
    for i in range(trial.suggest_int("depth", 1, 3)):
        wider = trial.suggest_int(f"width{i}", 1, 9)
        layers += [nn.Linear(width, wider), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers, nn.Linear(width, 2))


BATCH = (torch.ones(3, 2, 4), torch.tensor([0, 1, 0]))


def test_models_are_scored_by_a_proxy_and_leave_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    sampler = ZeroCostSampler(RandomSampler(seed=0), net, BATCH, "synflow", warmup=10, first=2)
    study = optuna.create_study(sampler=sampler)
    trial = study.ask()
    trial.suggest_int("depth", 1, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(sampler.scored) == 10
    again = ZeroCostSampler(RandomSampler(seed=1), net, BATCH, "synflow", warmup=10, first=2)
    optuna.create_study(sampler=again).ask().suggest_int("depth", 1, 3)
    assert again.scored == sampler.scored
    assert all(one.why is None and one.value > 0 for one in sampler.scored)


def test_a_proxy_of_which_less_is_better_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROXIES, "params", replace(PROXIES["params"], higher_is_better=False))
    sampler = ZeroCostSampler(RandomSampler(seed=0), net, BATCH, "params", warmup=10, first=2)
    optuna.create_study(sampler=sampler).ask().suggest_int("depth", 1, 3)
    counts = [-one.value for one in sampler.scored]
    assert counts == sorted(counts)
    smallest = net(FixedTrial(dict(sampler.scored[0].params)))
    assert counts[0] == sum(p.numel() for p in smallest.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": TPESampler}, "sampler is the class TPESampler; expected a sampler of Optuna"),
        ({"define": 3}, "define is 3; expected a function"),
        ({"score": None}, "neither batch nor score is given"),
        ({"batch": BATCH}, "batch and score are both given"),
        ({"score": None, "batch": BATCH, "proxy": "synflo"}, "did you mean 'synflow'"),
        ({"score": None, "batch": BATCH, "proxy": ["snip", "params"]}, "proxy is snip, params"),
        ({"score": None, "batch": BATCH, "loss": "l3"}, "no loss is called 'l3'"),
        ({"score": None, "batch": 3}, "batch is 3"),
        ({"warmup": 3, "first": 4}, "warmup is 3 and first is 4"),
        ({"warmup": 3, "first": 0}, "warmup is 3 and first is 0"),
        ({"warmup": -1}, "warmup is -1"),
        ({"moves": 0}, "moves is 0"),
    ],
)
def test_arguments_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"sampler": TPESampler(), "define": widths, "score": float} | options
    with pytest.raises(ForetellError, match=message):
        ZeroCostSampler(**given)


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "foretell.integrations.optuna"
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ForetellError, match=r"^'optuna' cannot.*pip install 'foretell\[optuna\]'$"):
        importlib.import_module(module)


def cells() -> tuple[dict[str, float], dict[str, float]]:
    """Accuracies of all cells with six edges and five operations, and noisy scores of them.

    Accuracy is the sum of the contributions of each edge and each pair of edges. Its rank
    correlation with the scores is 0.7, about that of synflow on NAS-Bench-201.
    """
    rng = np.random.default_rng(0)
    digits = np.array(list(itertools.product(range(5), repeat=6)))
    value = sum(rng.normal(size=5)[digits[:, edge]] for edge in range(6))
    for a, b in itertools.combinations(range(6), 2):
        value = value + rng.normal(size=(5, 5))[digits[:, a], digits[:, b]] / 2
    score = value + value.std() * rng.normal(size=len(value))
    names = ["".join(map(str, row)) for row in digits]
    return dict(zip(names, value, strict=True)), dict(zip(names, score, strict=True))


def cell(trial: BaseTrial) -> str:
    return "".join(str(trial.suggest_categorical(f"edge{i}", list(range(5)))) for i in range(6))


LATE = 50
"""Longer searches are cut off, which changes no median below this number."""


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_target_is_reached_in_half_the_trials(name: str) -> None:
    accuracies, scores = cells()
    needed: dict[bool, list[int]] = {False: [], True: []}
    target = sorted(accuracies.values())[-len(accuracies) // 40]  # among the best 2.5 %
    for helped, seed in itertools.product((False, True), range(30)):
        sampler = SAMPLERS[name](seed)
        if helped:
            sampler = ZeroCostSampler(
                sampler, cell, score=scores.__getitem__, warmup=60, first=6, seed=seed
            )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        trials, accuracy = 0, -math.inf
        while accuracy < target and trials < LATE:
            trial = study.ask()
            accuracy = accuracies[cell(trial)]
            study.tell(trial, accuracy)
            trials += 1
        needed[helped].append(trials)
    alone = statistics.median(needed[False])
    assert alone < LATE
    assert statistics.median(needed[True]) <= alone / 2
