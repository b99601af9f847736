"""Scores in the trials of a study of Optuna, and rankings in place of one proxy."""

import logging
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
from torch import nn

from foretell import score
from foretell.errors import ForetellError
from foretell.integrations.optuna import ZeroCostSampler
from foretell.rankings import find_ranking, places

BATCH = (torch.linspace(-1, 1, 32).reshape(8, 4), torch.arange(8) % 3)


def define(trial: Any) -> nn.Module:
    width, depth = trial.suggest_int("width", 2, 6), trial.suggest_int("depth", 1, 3)
    layers: list[nn.Module] = [nn.Linear(4, width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def objective(trial: Any) -> float:
    define(trial)
    return float(trial.suggest_float("rate", 0, 1))


def sampler(proxy: Any = "synflow", **more: Any) -> ZeroCostSampler:
    inner = optuna.samplers.RandomSampler(seed=0)
    return ZeroCostSampler(inner, define, BATCH, proxy, **{"warmup": 8, "first": 3, **more})


def test_the_scores_of_a_trial_are_among_its_user_attributes() -> None:
    """Those of the warmup and of moves, as the sampler used them; plots find them."""
    one = sampler("snip", moves=2)
    study = optuna.create_study(sampler=one)
    study.optimize(objective, n_trials=5)
    found = {candidate.scores["snip"] for candidate in one.scored}
    for trial in study.trials:
        assert trial.user_attrs["foretell:snip"] in found
    assert "user_attrs_foretell:snip" in study.trials_dataframe()


def test_scores_are_restored_from_the_storage(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    first = sampler()
    optuna.create_study(storage=storage, study_name="one", sampler=first).optimize(
        objective, n_trials=4
    )
    again = sampler()
    study = optuna.load_study(storage=storage, study_name="one", sampler=again)
    study.optimize(objective, n_trials=1)
    assert [one.value for one in again.scored] == [one.value for one in first.scored[:3]]
    assert all(one.scores.keys() == {"synflow"} for one in again.scored)


@pytest.mark.parametrize("by", ["vote", "snip+params"])
def test_the_best_of_the_warmup_by_a_ranking_come_first(by: str) -> None:
    one = sampler(by)
    study = optuna.create_study(sampler=one)
    study.optimize(objective, n_trials=3)
    table = pd.DataFrame([candidate.scores for candidate in one.scored])
    assert places(find_ranking(by, ()), table).is_monotonic_increasing
    drawn = [{n: t.params[n] for n in ("width", "depth")} for t in study.trials]
    assert drawn == [dict(candidate.params) for candidate in one.scored[:3]]


def test_a_move_is_the_best_of_its_suggestions_by_a_ranking() -> None:
    study = optuna.create_study(sampler=sampler("snip+params", warmup=0, first=0, moves=3))
    study.optimize(objective, n_trials=2)
    assert all("foretell:snip" in trial.user_attrs for trial in study.trials)


def test_several_proxies_are_refused_with_the_ranking_of_them() -> None:
    with pytest.raises(ForetellError, match=r"such as snip\+params"):
        sampler({"snip": {}, "params": {}})
    with pytest.raises(ForetellError, match="name its scores, as in log_rank:snip,flops"):
        sampler("log_rank")


def test_the_log_says_how_long_the_warmup_took(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.INFO, "optuna"):
            optuna.create_study(sampler=sampler()).optimize(objective, n_trials=2)
    finally:
        optuna.logging.disable_propagation()
    (line,) = {one for one in caplog.messages if one.startswith("Scored ")}
    assert "8 candidates by synflow in " in line


def test_the_attribute_is_the_score_of_the_model() -> None:
    one = sampler("params", warmup=4, first=1)
    study = optuna.create_study(sampler=one)
    study.optimize(objective, n_trials=1)
    model = define(optuna.trial.FixedTrial(study.trials[0].params))
    assert (
        study.trials[0].user_attrs["foretell:params"]
        == score(model, BATCH, "params")["params"].value
    )
