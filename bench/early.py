"""Measure how well accuracies after a few epochs predict the results of full trainings.

    python bench/early.py FOLDER --out src/foretell/calibration/prior.json

FOLDER has the Parquet files nb201_zc_scores_725_timed and nb201_accuracy (12 of 200 epochs, in
schedules of their own), nb101_20001 (4, 12 and 36 of 108 epochs; the only score is params) and
nasbench_nlp_wikitext2_345 (3 and 10 of 50 epochs of one training; likewise). In pools of at most
300 networks of each, 5, 10 and 20 are trained in full and 20 or 60 others briefly, at random. The
script prints how well the briefly trained networks are ordered with and without the early results,
with the prior from the other spaces, and the position of the best of the first five of this order,
in % from the top of the pool.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from calibration import NAMES, SCORES, Task, rounded
from foretell.calibration.candidates import expected
from foretell.calibration.early import Early, informed
from foretell.statistics.correlations import spearman
from foretell.statistics.ensemble import ensemble
from foretell.statistics.posterior import Prior, prior_of
from foretell.statistics.representative import relative_ranks, weighted

POOL, TRAINED, BRIEF, SEEDS = 300, (5, 10, 20), (20, 60), 12
SETS = {"cifar10": "cifar10", "cifar100": "cifar100", "ImageNet16-120": "imagenet16"}


def tasks(folder: Path) -> Iterator[tuple[Task, "np.ndarray"]]:
    """Tasks whose truth is the result of the full training, and the early results."""
    scores = pd.read_parquet(folder / "nb201_zc_scores_725_timed.parquet").rename(columns=NAMES)
    results = pd.read_parquet(folder / "nb201_accuracy.parquet").set_index("index")
    for name, part in scores.groupby("dataset"):
        early = results.loc[part["index"], f"{SETS.get(str(name), 'imagenet16')}_xvalid_12"]
        known = part[[score for score in SCORES if score in part]].reset_index(drop=True)
        yield Task("nb201", f"{name}, 12", known, part["val_accuracy"].to_numpy()), early.to_numpy()
    cells = pd.read_parquet(folder / "nb101_20001.parquet").sample(2000, random_state=0)
    for epochs in (4, 12, 36):
        known = cells[["params"]].reset_index(drop=True)
        task = Task("nb101", f"cifar10, {epochs}", known, cells["val_acc_108"].to_numpy())
        yield task, cells[f"val_acc_{epochs}"].to_numpy()
    nets = pd.read_parquet(folder / "nasbench_nlp_wikitext2_345.parquet")
    nets = nets[(nets["status"] == "OK") & (nets["epochs_done"] >= 50)].reset_index(drop=True)
    losses = np.stack(nets["val_losses"].map(lambda curve: curve[:50]).to_list())
    for epochs in (3, 10):
        known = nets[["num_params"]].rename(columns={"num_params": "params"})
        yield Task("nlp", f"wikitext2, {epochs}", known, -losses[:, 49]), -losses[:, epochs - 1]


def compared(task: Task, early: "np.ndarray", prior: Prior) -> Iterator[dict[str, object]]:
    """How well networks are ordered with and without early results."""
    known = np.flatnonzero(np.isfinite(task.truth) & np.isfinite(early))
    for seed in range(SEEDS):
        drawn = np.random.default_rng(seed).permutation(known)[:POOL]
        ranks = task.ranks.iloc[drawn].apply(lambda one: relative_ranks(one.to_numpy(float)))
        ranks = ranks.reset_index(drop=True)
        ranks["ensemble"] = relative_ranks(ensemble(ranks).to_numpy())
        axes = {str(name): ranks[name].to_numpy() for name in ranks}
        truth, brief = task.truth[drawn], early[drawn]
        for k in TRAINED:
            full = np.arange(k)
            by = weighted(axes, full)
            before = expected(ranks, "ensemble", full, truth[full], by.weights)
            for m in BRIEF:
                names, done = ranks.index, pd.Series(truth[full], full)
                reached = pd.Series(brief[: k + m], names[: k + m])
                one = Early.of(0, reached, names[k : k + m], done, names, prior)
                after = informed(before.mean, before.error, one)
                for name, mean in (("without", before.mean), ("with", after)):
                    best = k + np.argsort(-mean[k:], kind="stable")[:5]
                    yield {
                        "space": task.space,
                        "trained": k,
                        "briefly": m,
                        "early": name,
                        "rho": float(spearman(mean[k : k + m], truth[k : k + m])),
                        "best": 100 * (1 - relative_ranks(truth)[best].max()),
                    }


def main() -> None:
    """Measure, print, and write the prior."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found, rhos = list(tasks(given.folder)), {}
    for task, early in found:
        known = np.isfinite(task.truth) & np.isfinite(early)
        rho = float(spearman(early[known], task.truth[known]))
        print(f"{task.space} {task.name}: n = {known.sum()}, rho = {rho:.3f}")
        rhos.setdefault(task.space, []).append(rho)
    rows = []
    for task, early in found:
        prior = prior_of({space: each for space, each in rhos.items() if space != task.space})
        rows += compared(task, early, prior)
    table = pd.DataFrame(rows).pivot_table(
        index=["space", "briefly", "trained"], columns="early", values=["rho", "best"]
    )
    print(table.round(2).to_string())
    if given.out:
        content = json.loads(given.out.read_text("utf-8"))
        content["early"] = rounded(prior_of(rhos))
        given.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
