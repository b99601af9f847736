"""A run uses all its ScoreSettings, and its row keys and configuration contain them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch.nn.functional as F
from torch import Tensor

from foretell import ForetellError, load_data, score, search
from foretell.batch import Batch
from foretell.data import minibatch
from foretell.runs.config import read_config
from foretell.runs.store import read_rows
from foretell.scoring.settings import ScoreSettings
from foretell.spaces import make_space
from foretell.studies.run import run_study
from foretell.tables import Table
from foretell.training.settings import TrainSettings

CELLS = ["333333", "133333", "233333"]
SPACE = {"channels": 2, "cells": 1}


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that other processes can import."""
    return F.mse_loss(outputs, F.one_hot(targets, outputs.shape[1]).to(outputs))


def study(folder: Path, scoring: ScoreSettings, workers: int = 1) -> list[Any]:
    """The rows of a study of three cells by snip."""
    frame = pd.DataFrame({"val": [1.0, 2.0, 3.0]}, index=CELLS)
    table = Table("three", "nb201", frame, choosing=("val",))
    run_study(
        table,
        "digits",
        run=folder,
        proxies=["snip"],
        batch_size=8,
        space="nb201?channels=2,cells=1",
        scoring=scoring,
        workers=workers,
    )
    return [row for row in read_rows(folder) if row["key"]["kind"] == "score"]


def alone(**options: Any) -> dict[str, float]:
    """The same scores, computed by `foretell.score`."""
    data = load_data("digits")
    space = make_space("nb201", {**SPACE, "classes": 10, "in_channels": 1, "resolution": 8})
    batch = Batch(*minibatch(data.train, 8, 0))
    archs = [space.canonical(space.parse(cell)) for cell in CELLS]
    return {
        space.format(arch): score(space.build(arch, 0), batch, ["snip"], **options)["snip"].value
        for arch in archs
    }


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"layers": "conv2d_linear"},
        {"batch_norm": "frozen"},
        {"batch_norm": "frozen", "micro_batch": 4},
        {"loss": squared},
    ],
    ids=lambda choices: "-".join(choices) or "defaults",
)
def test_every_choice_is_honoured_and_said(choices: dict[str, Any], tmp_path: Path) -> None:
    rows = study(tmp_path, ScoreSettings(**choices))
    assert {row["key"]["arch"]: row["value"] for row in rows} == alone(**choices)
    said = ScoreSettings(**choices).key("cpu")
    assert all(row["key"].items() >= said.items() for row in rows)
    config = read_config(tmp_path)
    usual = ScoreSettings().key("cpu")
    assert config["loss"] == said["loss"]
    for name in ("layers", "batch_norm"):
        assert config.get(name, usual[name]) == said[name]
        assert (name in config) == (name in choices)


def test_another_choice_is_another_run(tmp_path: Path) -> None:
    study(tmp_path, ScoreSettings())
    with pytest.raises(ForetellError, match='batch_norm was absent, now "frozen"'):
        study(tmp_path, ScoreSettings(batch_norm="frozen"))


def test_a_search_takes_them_too(tmp_path: Path) -> None:
    search(
        "nb201?channels=2,cells=1",
        run=tmp_path,
        proxies=["snip"],
        by="snip",
        pool=1,
        trainings=1,
        training=TrainSettings(epochs=1),
        scoring=ScoreSettings(layers="conv2d_linear"),
    )
    assert read_config(tmp_path)["layers"] == "conv2d_linear"
    scores = [row for row in read_rows(tmp_path) if row["key"]["kind"] == "score"]
    assert {row["key"]["layers"] for row in scores} == {"conv2d_linear"}


def test_workers_compute_a_loss_of_the_users_own(tmp_path: Path) -> None:
    rows = study(tmp_path, ScoreSettings(loss=squared), workers=2)
    assert {row["key"]["arch"]: row["value"] for row in rows} == alone(loss=squared)


def test_a_loss_that_workers_cannot_have_is_refused_at_once(tmp_path: Path) -> None:
    """In this process, it can be used."""
    scoring = ScoreSettings(loss=lambda outputs, targets: outputs.square().mean())
    with pytest.raises(ForetellError, match=r"^the loss .* cannot be sent .* use workers=1$"):
        study(tmp_path / "run", scoring, workers=2)
    assert not (tmp_path / "run").exists()
    assert len(study(tmp_path / "run", scoring)) == 3
