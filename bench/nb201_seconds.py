"""Estimate what each network of NAS-Bench-201 takes to train, from a thousand that were timed.

    python bench/nb201_seconds.py nb201_accuracy.parquet nb201_train_stats_1000.parquet --out FILE
    foretell data import table FILE --name nb201-seconds --space nb201 --key arch \\
        --cost train_time_s --source 'estimated by bench/nb201_seconds.py'
    foretell study search STUDY --seconds nb201-seconds:train_time_s

Seconds of 200 epochs on the 50,000 images of CIFAR-100, as the benchmark's authors timed them, are
fitted by least squares as a constant and the sum of what each operation costs on each edge, once
for edges that lead from the input to the output and once for those that do not. How well that does
is printed, from ten-fold cross-validation over classes of isomorphic cells. FILE is CSV, or Parquet
by its name; it holds what was measured where it was, and `measured` says where.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.spaces import make_space
from foretell.spaces.nb201_network import EDGES, live_edges

FOLDS = 10


def main() -> None:
    """Fit, say how well, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("accuracies", type=Path, help="says which index is which architecture")
    parser.add_argument("stats", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = pd.read_parquet(arguments.accuracies).set_index("index")
    space = make_space("nb201")
    archs = [space.parse(text) for text in table["arch_str"]]
    classes = pd.Series([str(space.canonical(arch)) for arch in archs], table.index)
    inputs = pd.DataFrame([features(arch) for arch in archs], table.index)
    truth = seconds(pd.read_parquet(arguments.stats))
    print(quality(inputs.loc[truth.index], truth, classes.loc[truth.index]))
    weights = fitted(inputs.loc[truth.index], truth)
    estimated = pd.Series(inputs.to_numpy() @ weights, table.index)
    frame = pd.DataFrame(
        {
            "arch": table["arch_str"],
            "train_time_s": truth.reindex(table.index).fillna(estimated),
            "measured": table.index.isin(truth.index).astype(int),
        }
    )
    write = frame.to_parquet if arguments.out.suffix == ".parquet" else frame.to_csv
    write(arguments.out, index=False)


def seconds(stats: pd.DataFrame) -> "pd.Series[float]":
    """Measured seconds of 200 epochs on CIFAR-100, by index."""
    rows = stats[(stats["dataset"] == "cifar100") & (stats["epochs"] == 200)]
    return rows.set_index("index")["train_time_s"].astype(float).sort_index()


def features(arch: tuple[int, ...]) -> list[float]:
    """One, and which operation each edge has, apart for edges in use and others."""
    used = live_edges(arch, zero_fed=False)
    found = [1.0]
    for edge, option in zip(EDGES, arch, strict=True):
        cell = [0.0] * 10
        cell[option + 5 * (edge in used)] = 1.0
        found += cell
    return found


def fitted(inputs: pd.DataFrame, truth: "pd.Series[float]") -> "np.ndarray[tuple[int], np.dtype]":
    """Least squares, of least norm where inputs depend on each other."""
    return np.linalg.lstsq(inputs.to_numpy(), truth.to_numpy(), rcond=None)[0]


def quality(inputs: pd.DataFrame, truth: "pd.Series[float]", classes: "pd.Series[str]") -> str:
    """R² and errors of what was left out of the fit."""
    names = np.random.default_rng(0).permutation(classes.unique())
    fold = classes.map({name: number % FOLDS for number, name in enumerate(names)})
    guess = pd.Series(0.0, truth.index)
    for number in range(FOLDS):
        out = fold == number
        guess[out] = inputs[out].to_numpy() @ fitted(inputs[~out], truth[~out])
    error = guess - truth
    share = 1 - float((error**2).sum() / ((truth - truth.mean()) ** 2).sum())
    relative = (error.abs() / truth).mean()
    return (
        f"{len(truth):,} timed networks, mean {truth.mean():,.0f} s; left out of the fit: "
        f"R² {share:.3f}, mean error {error.abs().mean():,.0f} s ({100 * relative:.1f} %), "
        f"rank correlation {guess.corr(truth, method='spearman'):.3f}"
    )


if __name__ == "__main__":
    main()
