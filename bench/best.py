"""How much cheaper the best K of N networks are found in rounds, and which of them are missed.

    python bench/best.py score POOL --tables TABLES --images IMAGES.npz --out OUT [--networks 300]
    python bench/best.py compare OUT [--best 20] [--by anchored]

POOL is one of the keys of `POOLS`. `score` writes OUT/POOL.jsonl, a line for each network: what
`foretell.rank` computes by default, in the first round of `best`, in full with seed 0, and in full
with other weights and images, with the CPU seconds of each. A second call continues the file.
`compare` takes from it what `rank(..., best=K)` computes, and prints means over `PILOTS` pilots.

The rounds were designed on other random networks of these spaces. These start at place `FROM` of a
random order.
"""

import argparse
import json
import random
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from foretell import score
from foretell.batch import Batch
from foretell.progress import Tally
from foretell.rankings import RANKINGS, find_ranking, is_ranking, scores_of
from foretell.rankings.sizes import SIZES
from foretell.scoring.factories import Build
from foretell.scoring.rank import all_rows, best_of, in_order
from foretell.scoring.rows import Scorer
from foretell.scoring.settings import ScoreSettings
from foretell.spaces import Space, make_space
from foretell.tables import import_table

FROM, IMAGES, FIRST, PILOTS = 500, 64, slice(0, None, 8), 20
SCORES = tuple(dict.fromkeys((*scores_of(RANKINGS["anchored"]), *SIZES)))
POOLS: dict[str, tuple[str, dict[str, int]]] = {
    "nb201": ("nb201_accuracy.parquet", {"cells": 1}),
    "nb101": ("nb101_20001.parquet", {"channels": 32, "modules": 1}),
    "macro": ("nasbench_macro_cifar10.parquet", {}),
}
"""The table with the networks of each space, and the settings of the space."""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("score")
    one.add_argument("pool", choices=POOLS)
    one.add_argument("--tables", type=Path, required=True)
    one.add_argument("--images", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--networks", type=int, default=300)
    two = commands.add_parser("compare")
    two.add_argument("out", type=Path)
    two.add_argument("--best", type=int, default=20)
    two.add_argument("--by", default="anchored")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "score":
        score_pool(arguments)
    else:
        compare(arguments)


def score_pool(arguments: argparse.Namespace) -> None:
    """Append a line for each network that is not in the file yet."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{arguments.pool}.jsonl"
    done = len(path.read_text().splitlines()) if path.exists() else 0
    file, settings = POOLS[arguments.pool]
    space = make_space(arguments.pool, settings)
    archs = sorted(map(str, import_table(arguments.pool, arguments.tables / file).frame.index))
    random.Random(0).shuffle(archs)
    batches = [pictures(arguments.images, which) for which in (0, 1)]
    with path.open("a") as kept:
        for arch in archs[FROM + done : FROM + arguments.networks]:
            kept.write(json.dumps(line_of(space, arch, batches)) + "\n")
            kept.flush()


def line_of(space: Space, arch: str, batches: list[Batch]) -> dict[str, Any]:
    """The scores and CPU seconds of a network: in the first round, in full, with another seed."""
    runs = {"first": (0, batches[0][FIRST]), "full": (0, batches[0]), "other": (1, batches[1])}
    line: dict[str, Any] = {"arch": arch}
    for run, (seed, batch) in runs.items():
        start = time.process_time()
        found = score(space.build(space.parse(arch), seed), batch, SCORES, seed=seed)
        line[run] = {"cpu": time.process_time() - start}
        line[run] |= {name: one.value for name, one in found.items()}
    return line


def pictures(path: Path, which: int) -> Batch:
    """Normalised pictures in random order, others for each `which`."""
    with np.load(path) as file:
        images, labels = file["images"], file["labels"]
    order = np.random.default_rng(0).permutation(len(labels))
    chosen = order[IMAGES * which : IMAGES * (which + 1)]
    x = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 255
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    return Batch((x - mean) / std, torch.from_numpy(labels[chosen]).long())


@dataclass(frozen=True)
class Kept(Scorer):
    """Reads the row of a network instead of computing it."""

    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: str = "full"

    def row(self, name: str, build: Build) -> dict[str, Any]:
        """The row in the first round if the batch is made of another one, or in full."""
        line = self.lines[name]["first" if callable(self.batches) else self.run]
        return {**{one: as_nan(line[one]) for one in self.names}, "seconds": line["cpu"], "why": ""}


def as_nan(value: float | None) -> float:
    """An undefined score as nan."""
    return float("nan") if value is None else value


def compare(arguments: argparse.Namespace) -> None:
    """Print a line for each pool."""
    for path in sorted(arguments.out.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found = pd.DataFrame([compared(lines, arguments, n) for n in range(PILOTS)])
        mean = ", ".join(f"{name} {value:.2f}" for name, value in found.mean().items())
        print(f"{path.stem}, n = {len(lines)}: {mean}")


def compared(
    lines: list[dict[str, Any]], arguments: argparse.Namespace, pilot: int
) -> dict[str, float]:
    """How much cheaper the rounds are, and what they find; other names have another pilot."""
    named = {f"{line['arch']} {pilot}": line for line in lines}
    scorer = Kept([], SCORES, SCORES, [0], ScoreSettings(), Tally(None), lines=named)
    by = find_ranking(arguments.by, SCORES) if is_ranking(arguments.by) else arguments.by
    models: dict[str, Any] = dict.fromkeys(named)
    full, other = (
        in_order(all_rows(models.items(), replace(scorer, run=run)), by)
        for run in ("full", "other")
    )
    rounds = best_of(models, scorer, by, arguments.best)
    top = set(full.index[full["rank"] <= arguments.best])
    return {
        "times cheaper": full["seconds"].sum() / rounds["seconds"].sum(),
        "in full": rounds.attrs["rounds"]["in_full"] / len(named),
        "lost": 1 - len(top & set(rounds.index[rounds["why"] == ""])) / len(top),
        "overlap": len(top & set(rounds.index[: arguments.best])) / arguments.best,
        "overlap of another seed": len(top & set(other.index[: arguments.best])) / arguments.best,
    }


if __name__ == "__main__":
    main()
