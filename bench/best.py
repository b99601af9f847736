"""How much cheaper the best K of N networks are found in rounds, and which of them are missed.

    python bench/best.py score POOL --tables TABLES --images IMAGES.npz --out OUT [--networks 300]
    python bench/best.py compare OUT [--best 20] [--by anchored]

POOL is one of the keys of `POOLS`. `score` writes OUT/POOL.jsonl, a line for each network: what
`foretell.rank` computes by default, in the first round of `best`, in full with seed 0, and in full
with other weights and images, with the CPU seconds of each. A second call continues the file.
`compare` takes from it what `rank(..., best=K)` computes.

The rounds were designed on the first networks of the same random orders; these start at `FROM`.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foretell import score
from foretell.batch import Batch
from foretell.rankings import RANKINGS, scores_of
from foretell.rankings.sizes import SIZES
from foretell.spaces import Space, make_space
from foretell.tables import import_table

FROM, IMAGES, FIRST = 500, 64, slice(0, None, 8)
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
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    score_pool(arguments)


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


if __name__ == "__main__":
    main()
