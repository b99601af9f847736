"""Measure the priors of `foretell.calibrate` on tables of published scores.

    python bench/calibration.py FOLDER --out src/foretell/calibration/prior.json

FOLDER has the Parquet files of NAS-Bench-Suite-Zero's scores: nb201_zc_scores_725_timed (target
val_accuracy, three sets), nb101_zc_500 (val_accuracy), nb301_zc_sample_725 (the prediction of
NAS-Bench-301's surrogate) and tnb101_micro_zc_sample (metric, seven tasks). The script prints how
often the 95 % intervals contained ρ and the probabilities were right, for k random trainings of
each task, with the prior from the other spaces.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.statistics.correlations import spearman
from foretell.statistics.ensemble import ensemble
from foretell.statistics.posterior import Prior, posterior, prior_of, trusted
from foretell.statistics.representative import measured, relative_ranks, weighted

NAMES = {"jacov": "jacob_cov"}
SCORES = ("flops", "params", "synflow", "grasp", "fisher", "grad_norm", "l2_norm", "plain", "nwot")
SCORES += ("epe_nas", "jacob_cov", "snip")
KNOWN = ("ensemble", "flops", "params")
"""What is no proxy, and says nothing of one that was never measured."""
FAILED = -1e8
FILES = {
    "nb201": ("nb201_zc_scores_725_timed", "dataset", "val_accuracy"),
    "nb101": ("nb101_zc_500", None, "val_accuracy"),
    "nb301": ("nb301_zc_sample_725", None, "val_accuracy_surrogate"),
    "transnas-micro": ("tnb101_micro_zc_sample", "task", "metric"),
}


@dataclass(frozen=True)
class Task:
    """Scores and accuracies of a sample of a space."""

    space: str
    name: str
    ranks: pd.DataFrame
    """Relative ranks by each score and by the ensemble."""
    truth: "np.ndarray"


def tasks(folder: Path) -> Iterator[Task]:
    """Every task of the tables."""
    for space, (file, by, target) in FILES.items():
        frame = pd.read_parquet(folder / f"{file}.parquet").rename(columns=NAMES)
        frame = frame.replace(FAILED, np.nan)
        for name, part in frame.groupby(by) if by else [("cifar10", frame)]:
            known = [score for score in SCORES if score in part and part[score].notna().any()]
            ranks = pd.DataFrame({s: relative_ranks(part[s].to_numpy(float)) for s in known})
            ranks["ensemble"] = relative_ranks(ensemble(ranks).to_numpy())
            yield Task(space, str(name), ranks, part[target].to_numpy(float))


def correlations(found: list[Task]) -> dict[str, dict[str, list[float]]]:
    """By score and space: the rank correlations of its tasks."""
    all_of: dict[str, dict[str, list[float]]] = {}
    for task in found:
        for score in task.ranks:
            rho = float(spearman(task.ranks[score], task.truth))
            if not np.isnan(rho):
                all_of.setdefault(str(score), {}).setdefault(task.space, []).append(rho)
    return all_of


def any_score(all_of: dict[str, dict[str, list[float]]]) -> Prior:
    """The prior of a score that was never measured: that of a score drawn at random."""
    proxies = [spaces for name, spaces in all_of.items() if name not in KNOWN]
    each = [np.arctanh(rho) for spaces in proxies for one in spaces.values() for rho in one]
    return Prior(float(np.mean(each)), float(np.std(each)))


def held(found: list[Task], repeats: int = 40) -> pd.DataFrame:
    """Coverage and Brier score by space and k, the prior being from the other spaces."""
    generator, rows = np.random.default_rng(0), []
    for task in found:
        others = correlations([one for one in found if one.space != task.space])
        axes = {str(name): task.ranks[name].to_numpy() for name in task.ranks}
        for k in (5, 10, 20, 50):
            for _ in range(repeats):
                chosen = generator.choice(len(task.truth), k, replace=False)
                by = weighted(axes, chosen)
                for score, ranks in axes.items():
                    prior = prior_of(others.get(score, {}))
                    rho = float(spearman(ranks, task.truth))
                    one = measured(ranks[chosen], task.truth[chosen], by)
                    low, high = trusted(prior, one)
                    inside = np.nan if np.isnan(low) else low <= rho <= high
                    brier = (posterior(prior, one).above(0.3) - (rho > 0.3)) ** 2
                    rows.append((task.space, k, float(inside), brier))
    frame = pd.DataFrame(rows, columns=["space", "k", "inside", "brier"])
    return frame.groupby(["k", "space"])[["inside", "brier"]].mean().unstack().round(3)


def main() -> None:
    """Measure, print, and write the priors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = list(tasks(arguments.folder))
    all_of = correlations(found)
    print(pd.DataFrame({f"{t.space} {t.name}": len(t.truth) for t in found}, index=["n"]).T)
    print(held(found).to_string())
    if arguments.out:
        priors = {score: prior_of(spaces) for score, spaces in all_of.items()}
        before = json.loads(arguments.out.read_text("utf-8")) if arguments.out.exists() else {}
        content = {
            **before,  # the corrections of bench/candidates.py
            "about": "mean and sd of atanh of the rank correlation; made by bench/calibration.py, "
            "described in docs/decisions.md",
            "any": rounded(any_score(all_of)),
            "scores": {
                score: {**rounded(priors[score]), "tasks": sum(map(len, spaces.values()))}
                for score, spaces in sorted(all_of.items())
            },
        }
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


def rounded(prior: Prior) -> dict[str, float]:
    """The numbers of a prior, to three digits."""
    return {name: round(value, 3) for name, value in asdict(prior).items()}


if __name__ == "__main__":
    main()
