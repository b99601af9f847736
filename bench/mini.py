"""Train the networks of the benchmarks that are included in foretell, and write their tables.

    python bench/mini.py mini_cnn --run runs/mini/mini_cnn --out src/foretell/tables/included

A stopped run continues. The recipes in `RECIPES` were chosen before any network was trained.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from foretell.data import load_data
from foretell.engine.plan import make_plan
from foretell.executors.processes import pool as workers_pool
from foretell.models.spaces import space_for
from foretell.progress import Tally
from foretell.runs.evaluate import Evaluator
from foretell.runs.store import Store
from foretell.runs.work import Work
from foretell.searchers import Question, distinct
from foretell.searching.defaults import DEMO
from foretell.spaces import Arch, Space
from foretell.tables import Table, write_table
from foretell.training.settings import TrainSettings

SEEDS = (0, 1)
ADAMW = TrainSettings(epochs=10, optimizer="adamw", lr=1e-3)


@dataclass(frozen=True)
class Recipe:
    """Which networks of a benchmark are trained, and how."""

    space: str
    data: str
    training: TrainSettings
    networks: int | None = None
    """How many networks are drawn; by default all."""
    settings: Mapping[str, Any] = field(default_factory=dict)


RECIPES = {
    "mini_cnn": Recipe("cnn", "digits", DEMO.training, 150),
    "mini_tabular_digits": Recipe("tabular", "digits?flat=true", ADAMW, 150),
    "mini_gpt": Recipe(
        "gpt",
        "python_topics?sequences=512",
        TrainSettings(epochs=4, batch_size=8, optimizer="adamw", lr=1e-3),
        100,
        {"unit": 8, "length": 64},
    ),
}


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe = RECIPES[asked.name]
    space = space_for(recipe.space, recipe.settings, load_data(recipe.data))
    archs = [arch for arch, _ in islice(distinct(space, seed=0), recipe.networks)]
    rows = dict(trained(recipe, space, archs, asked.run, asked.workers))
    write_table(table(asked.name, recipe, space, archs, rows), asked.out / f"{asked.name}.parquet")


def trained(
    recipe: Recipe, space: Space, archs: list[Arch], run: Path, workers: int
) -> Iterator[tuple[int, list[dict[str, float]]]]:
    """The results of all networks with each seed."""
    tally = Tally(lambda event: print(event.done, event.total, flush=True))
    with (
        Store.open(run, {"job": "mini", "space": recipe.space}) as store,
        workers_pool(workers) as pool,
    ):
        for seed in SEEDS:
            how = (DEMO.batch_size, recipe.training, seed, "cpu")
            work = Work(space, recipe.data, make_plan(["params"]), "params", *how)
            evaluator = Evaluator(work, store, pool, workers, tally)
            evaluator.compute([Question(arch, "train") for arch in archs])
            yield seed, [result(evaluator, arch) for arch in archs]


def result(evaluator: Evaluator, arch: Arch) -> dict[str, float]:
    """The accuracies of one training at the end, and after each epoch."""
    found = evaluator.training(arch)
    epochs = {f"val_{one.number}": one.val_accuracy for one in found.history}
    return {"val": found.val_accuracy, "test": found.test_accuracy, **epochs}


def table(
    name: str,
    recipe: Recipe,
    space: Space,
    archs: list[Arch],
    rows: Mapping[int, list[dict[str, float]]],
) -> Table:
    """The table: means over the seeds, and the single runs."""
    index = pd.Index([space.format(arch) for arch in archs], name="arch")
    runs = {seed: pd.DataFrame(own, index) for seed, own in rows.items()}
    single = pd.concat({seed: own[["val", "test"]] for seed, own in runs.items()}, axis=1)
    single.columns = [f"{column}_seed_{seed}" for seed, column in single.columns]
    mean = sum(runs.values()) / len(runs)
    early = [column for column in mean if column.startswith("val_")][:-1]
    sizes = [sum(p.numel() for p in space.build(arch, 0).parameters()) for arch in archs]
    frame = pd.concat([mean[["val", "test", *early]], single], axis=1)
    settings = "".join(f", {key}={value}" for key, value in recipe.settings.items())
    return Table(
        name,
        space.name,
        frame.assign(params=sizes),
        choosing=("val", *early),
        reporting=("test",),
        cost=("params",),
        repeats={
            column: tuple(f"{column}_seed_{seed}" for seed in SEEDS) for column in ("val", "test")
        },
        source=f"foretell, bench/mini.py {name}: {space.name}{settings} on {recipe.data}",
        licence="Apache-2.0",
    )


if __name__ == "__main__":
    main()
