"""Estimate the training time of each network of NAS-Bench-201 from a thousand measured times.

    python bench/nb201_seconds.py nb201_accuracy.parquet nb201_train_stats_1000.parquet --out FILE
    foretell data import table FILE --name nb201-seconds --space nb201 --key arch \\
        --cost train_time_s --source 'estimated by bench/nb201_seconds.py'
    foretell study search STUDY --seconds nb201-seconds:train_time_s

The seconds of 200 epochs on the 50,000 images of CIFAR-100, as measured by the authors of the
benchmark, are fitted by least squares: a constant, plus the sum of the costs of the operations on
the edges, with different costs for edges that connect the input to the output and for edges that do
not. The quality of the fit is printed, from ten-fold cross-validation over classes of isomorphic
cells. FILE is Parquet if its name ends so, otherwise CSV. It has the measured time if there is one,
and the column `measured` says so.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.spaces import make_space
from foretell.spaces.nb201_network import EDGES, live_edges

FOLDS = 10


def main() -> None:
    """Fit the times, print the quality of the fit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("accuracies", type=Path, help="the architecture of each index")
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
    """The measured seconds of 200 epochs on CIFAR-100, by index."""
    rows = stats[(stats["dataset"] == "cifar100") & (stats["epochs"] == 200)]
    return rows.set_index("index")["train_time_s"].astype(float).sort_index()


def features(arch: tuple[int, ...]) -> list[float]:
    """1, and a one-hot code of the operation of each edge, separate for edges in use and others."""
    used = live_edges(arch, zero_fed=False)
    found = [1.0]
    for edge, option in zip(EDGES, arch, strict=True):
        cell = [0.0] * 10
        cell[option + 5 * (edge in used)] = 1.0
        found += cell
    return found


def fitted(inputs: pd.DataFrame, truth: "pd.Series[float]") -> "np.ndarray[tuple[int], np.dtype]":
    """The least-squares solution, of minimum norm if inputs are linearly dependent."""
    return np.linalg.lstsq(inputs.to_numpy(), truth.to_numpy(), rcond=None)[0]


def quality(inputs: pd.DataFrame, truth: "pd.Series[float]", classes: "pd.Series[str]") -> str:
    """R² and errors on the networks left out of the fit, in words."""
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
