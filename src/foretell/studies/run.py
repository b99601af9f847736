"""Score the architectures of a benchmark, a row each, and read the rows back as frames."""

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.data import Splits
from foretell.engine.plan import Request, make_plan
from foretell.errors import ForetellError
from foretell.proxies import BASELINES, PAPER
from foretell.runs.evaluate import Evaluator, Tick, Work
from foretell.runs.store import Store, read_config, read_rows
from foretell.runs.tasks import Data, loaded
from foretell.runs.workers import pool
from foretell.searchers import Question
from foretell.spaces import Space, make_space
from foretell.spec import parse_spec
from foretell.studies.reduced import train_reduced
from foretell.studies.zoo import ModelZoo
from foretell.tables import Table, read_table, write_table
from foretell.training import TrainSettings

__all__ = ["STUDIED", "Rows", "read_study", "run_study"]

STUDIED = (*PAPER, "plain", "l2_norm", "nwot", *BASELINES)
"""The paper's six, what costs next to nothing beside them, and what they must beat."""
TABLE = "table.parquet"


def run_study(
    table: str | os.PathLike[str] | Table,
    data: Data,
    *,
    run: str | os.PathLike[str],
    proxies: Request = STUDIED,
    sample: int | None = 1000,
    repeats: int = 1,
    batch_size: int = 64,
    seed: int = 0,
    space: str | None = None,
    loss: str | None = None,
    reduced: Sequence[str] = (),
    device: str = "cpu",
    tf32: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Callable[[Tick], object] = lambda tick: None,
    told: Callable[[str], object] = lambda notice: None,
) -> Path:
    """Score `sample` random architectures of a table, or all, and return the run's folder.

    Of isomorphic architectures one is scored. Each of the `repeats` draws weights and minibatch
    anew, from `seed` on. `space`, as in `nb201?channels=8`, is by default the table's own, built
    for the data. `reduced` names trainings of `REDUCED` to do beside the scores, for comparison.
    Called again with more proxies, repeats or a larger sample it computes what is missing; the
    rows are the same whatever the number of workers. With an `executor` of your own, such as
    Dask's or Slurm's, it computes `workers` tasks at a time. A network of a zoo that cannot be
    scored, or whose process dies twice, is undefined, and its row says why. `told` is called with
    a line that names what was damaged in the folder and is computed again, if anything was.

    What a GPU computes has other last digits, and a run is of one kind of device; `tf32` lets a GPU
    score with the 10 bits of TF32.

    Raises ForetellError for a bad argument, a table of another space, or a folder that holds
    another study.
    """
    known = table if isinstance(table, Table) else read_table(os.fspath(table))
    splits = loaded(data)
    built = space_for(known, space, splits)
    text = splits.vocabulary is not None and splits.train[1].ndim > 1
    loss = loss or ("token_cross_entropy" if text else "cross_entropy")
    if sample is not None and sample < 3:
        raise ForetellError(f"the sample is {sample}; a correlation needs at least 3")
    if repeats < 1:
        raise ForetellError(f"repeats is {repeats}; give at least 1")
    plan = make_plan(proxies)
    by, settings = plan.proxies[0].name, TrainSettings()
    first = Work(built, data, plan, by, batch_size, settings, seed, device, loss, tf32)
    config = configuration(known, splits, first)
    with Store.open(run, config) as store, pool(executor or workers) as pooled:
        if store.notice:
            told(store.notice)
        if not (store.folder / TABLE).exists():
            keep(known, store.folder)
        archs = [built.parse(text) for text, _ in drawn(known, built, seed, sample)]
        for again in range(repeats):
            work = replace(first, seed=seed + again)
            zoo = isinstance(built, ModelZoo)
            evaluator = Evaluator(work, store, pooled, workers, progress, refusals=zoo)
            evaluator.compute([Question(built.canonical(arch), "score") for arch in archs])
        for name in reduced:
            canonical = [built.canonical(arch) for arch in archs]
            train_reduced(name, first, canonical, splits, store, pooled, workers, progress)
        return store.folder


def space_for(table: Table, spec: str | None, splits: Splits) -> Space:
    """The table's space, its networks built for the data."""
    if table.space == "models":
        return ModelZoo(tuple(map(str, table.frame.index)), splits)
    name, settings = parse_spec(spec or table.space)
    if name != table.space:
        raise ForetellError(
            f"table {table.name} is of space {table.space}, not {name}; give its own space"
        )
    known = make_space(name).settings()
    return make_space(name, fitting(known, splits) | settings)


def fitting(known: Mapping[str, Any], splits: Splits) -> dict[str, Any]:
    """The settings of a space that the data decides."""
    if splits.vocabulary is not None:
        return {"vocabulary": splits.classes} if "vocabulary" in known else {}
    channels, height, _ = splits.image_shape
    wanted = {"classes": splits.classes, "in_channels": channels, "resolution": height}
    return {name: value for name, value in wanted.items() if name in known}


def configuration(table: Table, splits: Splits, work: Work) -> dict[str, Any]:
    """What a run folder is for; more proxies, repeats or architectures go into the same one."""
    return {
        "job": "study",
        "table": {"name": table.name, "checksum": table.checksum},
        "space": {"name": work.space.name, "settings": work.space.settings()},
        "data": {"name": splits.name, "fingerprint": splits.fingerprint},
        "batch_size": work.batch_size,
        "seed": work.seed,
        "loss": work.loss,
        **work.score_device_key,
    }


def keep(table: Table, folder: Path) -> None:
    """Put the table beside the rows, so that they can be judged anywhere."""
    write_table(table, folder / TABLE)


def drawn(table: Table, space: Space, seed: int, count: int | None) -> Iterator[tuple[str, str]]:
    """Keys of the table in random order, each of its class alone, with its canonical text.

    A larger sample begins with the smaller one.
    """
    keys = sorted(map(str, table.frame.index))
    random.Random(seed).shuffle(keys)
    seen: set[Any] = set()
    for key in keys:
        if count is not None and len(seen) >= count:
            return
        canonical = space.canonical(space.parse(key))
        if canonical not in seen:
            seen.add(canonical)
            yield key, space.format(canonical)


@dataclass(frozen=True, eq=False)
class Rows:
    """What a run's rows say: a frame of scores for each repeat, by the table's keys."""

    config: dict[str, Any]
    table: Table
    runs: list[pd.DataFrame]
    """A row an architecture, a column a proxy, nan where a score is undefined."""
    why: dict[str, dict[str, int]]
    """By proxy: how often a score is undefined for each reason, over all repeats."""
    reduced: pd.DataFrame
    """A column for each reduced training: its validation accuracy, by the same keys."""
    seconds: "pd.Series[float]"
    """Mean seconds by proxy or reduced training; passes that several share count for each."""
    minibatches: dict[str, int]
    """How many each reduced training saw."""
    made_with: list[str]


def read_study(run: str | os.PathLike[str]) -> Rows:
    """The rows of a study, finished or not; needs the run folder alone.

    Raises ForetellError if the folder is no study or holds no scores yet.
    """
    config = read_config(run)
    if config.get("job") != "study":
        raise ForetellError(f"{run} is a run of another kind; give the folder of a study")
    table = read_table(Path(run) / TABLE)
    every = read_rows(run)
    rows = [row for row in every if row["key"]["kind"] == "score"]
    trained = [row for row in every if row["key"]["kind"] == "reduced"]
    if not rows:
        raise ForetellError(f"{run} holds no scores yet; let `foretell study` run")
    flat = pd.DataFrame(
        {
            "seed": row["key"]["seed"],
            "proxy": row["key"]["proxy"],
            "arch": row["key"]["arch"],
            "value": row["value"],
            "seconds": row["seconds"],
        }
        for row in rows
    )
    keys = keys_of(table, config, set(flat["arch"]))
    flat["value"] = flat["value"].astype(float)
    runs = complete([frame_of(part, keys) for _, part in flat.groupby("seed")])
    reduced = reduced_frame(trained, keys).reindex(runs[0].index)
    taken = pd.Series({row["key"]["reduced"]: 0.0 for row in trained}, dtype=float)
    for name in taken.index:
        taken[name] = np.mean([r["seconds"] for r in trained if r["key"]["reduced"] == name])
    return Rows(
        config,
        table,
        runs,
        reasons(rows),
        reduced,
        pd.concat([flat.groupby("proxy", sort=False)["seconds"].mean(), taken]),
        {row["key"]["reduced"]: row["minibatches"] for row in trained},
        sorted({str(row["made_with"]) for row in every}),
    )


def reasons(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """By proxy and reason, how often a score is undefined."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["why"]:
            of_proxy = found.setdefault(row["key"]["proxy"], {})
            of_proxy[row["why"]] = of_proxy.get(row["why"], 0) + 1
    return found


def reduced_frame(rows: Sequence[Mapping[str, Any]], keys: Mapping[str, str]) -> pd.DataFrame:
    """Validation accuracies by the table's keys; nan where a training diverged."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["key"]["arch"] in keys:
            value = row["value"]
            of_name = found.setdefault(row["key"]["reduced"], {})
            of_name[keys[row["key"]["arch"]]] = np.nan if value is None else float(value)
    return pd.DataFrame(found, dtype=float)


def keys_of(table: Table, config: Mapping[str, Any], scored: set[str]) -> dict[str, str]:
    """Canonical text → the table's key that was drawn for it."""
    about = config["space"]
    if about["name"] == "models":
        return {name: name for name in scored}
    space = make_space(about["name"], about["settings"])
    found: dict[str, str] = {}
    for key, canonical in drawn(table, space, config["seed"], None):
        if canonical in scored:
            found[canonical] = key
        if len(found) == len(scored):
            break
    return found


def frame_of(rows: pd.DataFrame, keys: Mapping[str, str]) -> pd.DataFrame:
    """One repeat's scores, by the table's keys; only architectures that have all of them."""
    wide = rows.pivot(index="arch", columns="proxy", values="value")
    there = rows.assign(there=1).pivot(index="arch", columns="proxy", values="there")
    order = list(dict.fromkeys(rows["proxy"]))
    whole = wide.loc[there.notna().all(axis=1), order]
    whole.index = pd.Index([keys[arch] for arch in whole.index], name="arch")
    return whole.rename_axis(columns=None)


def complete(runs: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The repeats that cover all that the first does, cut to it."""
    first = runs[0]
    return [
        run.loc[first.index, first.columns]
        for run in runs
        if set(first.index) <= set(run.index) and set(first.columns) <= set(run.columns)
    ]
