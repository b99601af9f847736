"""ScoreSettings: every function that scores accepts them as an object and by keyword."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from typing import Any, get_type_hints

import pytest
import torch
from optuna import create_study
from optuna.samplers import RandomSampler
from torch import nn

from foretell import ForetellError, explain, rank, score, score_many
from foretell.integrations.optuna import ZeroCostSampler
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of

BATCH = (torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))


def model() -> nn.Module:
    """One layer."""
    return nn.Linear(2, 2)


def by_optuna(**how: Any) -> None:
    """Compute the scores of a sampler's warmup."""
    sampler = ZeroCostSampler(
        RandomSampler(seed=0), lambda trial: model(), BATCH, "snip", warmup=1, **how
    )
    create_study(sampler=sampler).ask().suggest_int("width", 1, 3)


DOORS: dict[str, Callable[..., Any]] = {
    "score": lambda **how: score(model(), BATCH, ["snip"], **how),
    "rank": lambda **how: rank([model()], BATCH, ["snip"], **how),
    "score_many": lambda **how: score_many(model(), BATCH, ["snip"], **how),
    "explain": lambda **how: explain(["snip"], model(), BATCH, **how),
    "ZeroCostSampler": by_optuna,
}
OTHERS: dict[str, Any] = {
    "loss": "own",
    "layers": "conv2d_linear",
    "batch_norm": "frozen",
    "micro_batch": 2,
    "precision": "tf32",
    "faster": False,
    "verify": True,
}
"""For each field, a value that differs from its default."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[ScoreSettings]:
    """The settings that scoring was called with."""
    settings: list[ScoreSettings] = []
    real = import_module("foretell.scoring.score").as_subject

    def noted(model: Any, batch: Any, seed: int, scoring: ScoreSettings) -> Any:
        settings.append(scoring)
        return real(model, batch, seed)

    for module in ("score", "explain"):
        monkeypatch.setattr(import_module(f"foretell.scoring.{module}"), "as_subject", noted)
    return settings


def test_the_keywords_are_the_fields() -> None:
    assert {field.name: field.type for field in fields(ScoreSettings)}.keys() == OTHERS.keys()
    assert get_type_hints(ScoreChoices) == get_type_hints(ScoreSettings)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("door", DOORS)
def test_every_door_takes_every_choice(door: str, name: str, seen: list[ScoreSettings]) -> None:
    """Each setting can be a field of `scoring` or a keyword, which takes precedence."""
    usual, wanted = getattr(ScoreSettings(), name), OTHERS[name]
    DOORS[door](scoring=ScoreSettings(**{name: wanted}))
    DOORS[door](**{name: wanted})
    DOORS[door](scoring=ScoreSettings(**{name: wanted}), **{name: usual})
    assert [getattr(one, name) for one in seen] == [wanted, wanted, usual]


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_choice_is_named(door: str) -> None:
    with pytest.raises(TypeError, match="'micro_bach' is not an argument here; did you mean"):
        DOORS[door](micro_bach=2)
    with pytest.raises(ForetellError, match="micro_batch is 0"):
        DOORS[door](micro_batch=0)
    with pytest.raises(ForetellError, match=r"scoring is \{'loss': 'mse'\}; expected"):
        DOORS[door](scoring={"loss": "mse"})


@pytest.mark.parametrize("function", [score, rank, score_many, explain, ZeroCostSampler])
def test_the_default_is_the_plain_settings(function: Callable[..., Any]) -> None:
    assert inspect.signature(function).parameters["scoring"].default == ScoreSettings()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", ["mse"]),
        ("layers", "most"),
        ("batch_norm", None),
        ("micro_batch", 2.0),
        ("micro_batch", True),
        ("precision", "bf16"),
    ],
)
def test_a_value_that_is_not_one_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ForetellError, match="loss" if field == "loss" else f"{field} is "):
        settings_of(ScoreSettings(), {field: value})  # type: ignore[misc]
