"""Print the table on the first example in docs/search.md, from several runs of it.

for s in 301 302 ...; do foretell search --seed $s --run runs/first/$s; done
python bench/first.py runs/first/*
"""

import argparse
from pathlib import Path

import numpy as np

from foretell.searching.read import ARMS, Found, read_search

CHANCE = 10.0
HEAD = (
    '| six networks | test accuracy of the best: median (range) | "with scores" is ahead | '
    "failed to learn | mean accuracy | seconds |"
)


def main() -> None:
    """Print a row for each arm, and the rank correlation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    found = [read_search(run) for run in parser.parse_args().runs]
    print(HEAD)
    print("|---|---|---|---|---|---|")
    for arm, label in ARMS.items():
        best = [best_of(run, arm) for run in found]
        ahead = sum(best_of(run, "scored") > other for run, other in zip(found, best, strict=True))
        rows = [run.trained[run.trained["arm"] == arm] for run in found]
        failed = sum(
            int((~(own["val_accuracy"] >= least(run))).sum())
            for run, own in zip(found, rows, strict=True)
        )
        mean = np.mean([own["val_accuracy"].mean() for own in rows])
        seconds = np.median([own["seconds"].sum() for own in rows])
        print(
            f"| {label} | {np.median(best):.1f} % ({min(best):.1f} to {max(best):.1f}) | "
            f"{ahead} of {len(found)} | {failed} of {sum(map(len, rows))} | {mean:.0f} % | "
            f"{seconds:.0f} |"
        )
    agreements = [agreement(run) for run in found]
    print(
        f"\nρ: median {np.median(agreements):.2f}, {min(agreements):.2f} to {max(agreements):.2f}"
    )


def best_of(run: Found, arm: str) -> float:
    """The test accuracy of the network of an arm with the best validation accuracy."""
    return float(run.best.set_index("arm").loc[arm, "test_accuracy"])


def least(run: Found) -> float:
    """The validation accuracy half-way between guessing and the best."""
    return (CHANCE + float(run.trained["val_accuracy"].max())) / 2


def agreement(run: Found) -> float:
    """The rank correlation of score and accuracy among the networks trained."""
    once = run.trained.drop_duplicates("arch")
    return float(once[[run.config["by"], "val_accuracy"]].corr("spearman").iloc[0, 1])


if __name__ == "__main__":
    main()
