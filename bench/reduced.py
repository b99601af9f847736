"""Measure how the scores of reduced networks agree with those of full ones, and what both cost.

    python bench/reduced.py POOL --tables TABLES --images IMAGES.npz [--networks 60]

POOL is `nb201`, `nb101` or `macro`. Random networks of the pool are scored with 64 images of
CIFAR-10 in full, and with four of these images in the reduced form of the space, by the scores that
one forward pass gives. The script prints Spearman's ρ between both, and the mean CPU seconds.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from best import FROM, POOLS, SCORES, pictures
from foretell import score
from foretell.rankings import RANKINGS, points
from foretell.spaces import make_space, reduced_form
from foretell.tables import import_table

FORWARD, EVERY = ("rmin", "d8", "nwot"), slice(0, None, 16)


def main() -> None:
    """Print the correlations and the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pool", choices=POOLS)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space = make_space(arguments.pool)
    table = import_table(space.name, arguments.tables / POOLS[space.name][0])
    archs = sorted(map(str, table.frame.index))
    random.Random(0).shuffle(archs)
    batch = pictures(arguments.images, 0)
    ways = {"full": (space, batch, SCORES), "reduced": (reduced_form(space), batch[EVERY], FORWARD)}
    rows: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for arch in archs[FROM : FROM + arguments.networks]:
        for way, (form, fed, names) in ways.items():
            start = time.process_time()
            found = score(form.build(form.parse(arch), 0), fed, names)
            row = {name: one.value for name, one in found.items()}
            rows[way].append({**row, "seconds": time.process_time() - start})
    full, reduced = (pd.DataFrame(rows[way]) for way in ways)
    print(f"seconds: full {full['seconds'].mean():.2f}, reduced {reduced['seconds'].mean():.3f}")
    for one in (full, reduced):
        one["anchored"] = points(RANKINGS["anchored"], one.reindex(columns=list(SCORES)))
    for name in (*FORWARD, "anchored"):
        print(f"{name:8} {full[name].corr(reduced[name], method='spearman'):.2f}")


if __name__ == "__main__":
    main()
