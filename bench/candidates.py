"""Measure how accurate the probabilities of `foretell.calibrate` are, and fit a correction.

    python bench/candidates.py FOLDER --out src/foretell/calibration/prior.json

FOLDER is that of bench/calibration.py. In pools of at most 300 networks of each task, 5, 10, 20 and
50 are trained: at random, or five that are spread over the pool and then those that are expected to
be the best. For the untrained networks, where the ensemble helps, the script fits a logistic
correction of the probability of being among the best 10 % and 5 %, and the half-width of 90 %
intervals in standard deviations; all spaces have the same weight. It prints the observed shares on
each space with the corrections of the other spaces, and on two spaces to which no correction was
fitted (NAS-Bench-Macro and -NLP).
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit, ndtri
from sklearn.linear_model import LogisticRegression

from calibration import Task, correlations, tasks
from decisions import macro, nlp
from foretell.calibration.candidates import NEAREST, corrected, expected
from foretell.calibration.candidates import SHARES as SAID
from foretell.calibration.first import spread_over
from foretell.calibration.verdict import HELPS, verdict
from foretell.statistics.ensemble import ensemble
from foretell.statistics.posterior import Prior, posterior, prior_of, trusted
from foretell.statistics.representative import measured, relative_ranks, weighted

POOL, COUNTS = 300, (5, 10, 20, 50)
SHARES = {"p_top_10": 0.10, "p_top_5": 0.05}


def unseen(folder: Path) -> Iterator[Task]:
    """The tasks of which nothing is used for the corrections."""
    for one in (*macro(folder), *nlp(folder)):
        known = np.isfinite(one.told)
        yield Task(one.space, one.name, one.scores[known].reset_index(drop=True), one.told[known])


def pools(task: Task, count: int) -> Iterator[tuple[pd.DataFrame, "np.ndarray"]]:
    """Relative ranks and accuracies in pools drawn from a task."""
    generator = np.random.default_rng(0)
    for _ in range(count):
        size = min(len(task.truth), POOL)
        rows = generator.choice(len(task.truth), size, replace=False)
        scores = task.ranks.iloc[rows].drop(columns="ensemble", errors="ignore")
        ranks = scores.apply(lambda one: relative_ranks(one.to_numpy(float))).reset_index(drop=True)
        ranks["ensemble"] = relative_ranks(ensemble(ranks).to_numpy())
        yield ranks, task.truth[rows]


def foretold(task: Task, ranks: pd.DataFrame, truth: "np.ndarray", prior: Prior, seed: int) -> Any:
    """What is said of the untrained candidates after each count, and what is true."""
    generator = np.random.default_rng(seed)
    axes = {str(name): ranks[name].to_numpy() for name in ranks}
    for design in ("random", "proposed"):
        trained = np.array(spread_over(ranks, "ensemble", np.array([], dtype=int), COUNTS[0]))
        found = expected(ranks, "ensemble", np.array([], dtype=int), np.zeros(0), np.zeros(0))
        for k in COUNTS:
            if design == "random":
                trained = generator.choice(len(truth), k, replace=False)
            elif k > len(trained):
                left = np.setdiff1d(np.arange(len(truth)), trained)
                best = left[np.argsort(-found.mean[left], kind="stable")]
                trained = np.concatenate([trained, best[: k - len(trained)]])
            by = weighted(axes, trained)
            found = expected(ranks, "ensemble", trained, truth[trained], by.weights)
            one = measured(axes["ensemble"][trained], truth[trained], by)
            if verdict(posterior(prior, one), trusted(prior, one), one, by) != HELPS:
                continue
            left, place = np.setdiff1d(np.arange(len(truth)), trained), relative_ranks(truth)
            away = np.abs(ndtri(place) - found.mean) / found.error
            said = {name: found.above(share)[left] for name, share in SHARES.items()}
            true = {f"is_{name}": (place > 1 - share)[left] for name, share in SHARES.items()}
            about = {"space": task.space, "k": k, "design": design, "away": away[left]}
            yield pd.DataFrame({**about, **said, **true})


def correction(frame: pd.DataFrame, name: str) -> list[float]:
    """Intercept and slope of the logistic correction."""
    weights = len(frame) / frame.groupby("space")[name].transform("size")
    given = logit(frame[[name]].clip(NEAREST, 1 - NEAREST).to_numpy())
    fitted = LogisticRegression(C=1e6).fit(given, frame[f"is_{name}"], sample_weight=weights)
    return [round(float(fitted.intercept_[0]), 3), round(float(fitted.coef_[0][0]), 3)]


def half_width(frame: pd.DataFrame) -> float:
    """The half-width of intervals that hold for 90 % on the average of spaces and counts."""
    tried = np.linspace(0.5, 8, 751)
    parts = [np.sort(one["away"].to_numpy()) for _, one in frame.groupby(["space", "k"])]
    inside = np.mean([np.searchsorted(one, tried) / len(one) for one in parts], axis=0)
    return round(float(tried[np.searchsorted(inside, 0.9)]), 2)


def corrections(frame: pd.DataFrame) -> dict[str, Any]:
    """All corrections."""
    return {"interval": half_width(frame), **{name: correction(frame, name) for name in SHARES}}


def held(frame: pd.DataFrame, by: dict[str, Any]) -> pd.DataFrame:
    """The frame with what is said after corrections, of each space by its own."""
    parts = []
    for space, part in frame.groupby("space"):
        said = {f"said_{n}": corrected(part[n].to_numpy(), *by[str(space)][n]) for n in SHARES}
        parts.append(part.assign(**said, inside=part["away"] <= by[str(space)]["interval"]))
    return pd.concat(parts)


def printed(frame: pd.DataFrame) -> None:
    """Print the deciles of each probability, and the coverage of the intervals."""
    for name in SHARES:
        weight = 1 / frame.groupby("space")[name].transform("size")
        told = frame.assign(
            n=1, said=weight * frame[f"said_{name}"], was=weight * frame[f"is_{name}"]
        )
        bins = pd.cut(frame[f"said_{name}"], np.arange(0, 0.6, 0.1)).rename(name)
        table = told.assign(weight=weight).groupby(bins, observed=True)
        total = table[["n", "said", "was", "weight"]].sum()
        for column in ("said", "was"):
            total[column] /= total["weight"]
        print(total[["n", "said", "was"]].round(3).T.to_string())
    print(frame.pivot_table(index=["design", "k"], columns="space", values="inside").round(2))


def main() -> None:
    """Measure, print, and write the corrections."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pools", type=int, default=21, help="pools of each space")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    seen, new = list(tasks(given.folder)), list(unseen(given.folder))
    parts = []
    for task in (*seen, *new):
        others = [one for one in seen if one.space != task.space]
        prior = prior_of(correlations(others)["ensemble"])
        same = sum(one.space == task.space for one in (*seen, *new))
        for seed, (ranks, truth) in enumerate(pools(task, -(-given.pools // same))):
            parts += foretold(task, ranks, truth, prior, seed)
    frame = pd.concat(parts, ignore_index=True)
    known = frame[frame["space"].isin({task.space for task in seen})]
    by = {str(s): corrections(known[known["space"] != s]) for s in known["space"].unique()}
    every = corrections(known)
    printed(held(known, by))
    rest = frame.drop(known.index)
    for space, part in rest.groupby("space"):
        printed(held(part, {str(space): every}))
    print(every)
    if given.out:
        content = json.loads(given.out.read_text("utf-8"))
        content["corrections"] = {name: every[name] for name in SAID}
        given.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
