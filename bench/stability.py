"""Measure how similarly each score ranks with two initialisations, minibatches and seeds.

    python bench/stability.py --tables TABLES --images IMAGES.npz [--networks 60]

The script prints Spearman's ρ between both, over random cells of NAS-Bench-201 without dead
branches, in networks of one cell per stage, with 20 images of ten classes. Counts and the scores of
transformers are left out, and so are those that take a backward pass for each class of each sample.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ensemble import nb201
from foretell import score
from foretell.batch import Batch
from foretell.proxies import PROXIES
from foretell.spaces import NASBench201

COUNTS = {"params", "flops", "params_used", "flops_used", "layers", "depth"}
LEFT_OUT = COUNTS | {"parameter_tensors", "convs_3x3", "vkdnw", "vkdnw_reference", "te_nas_ntk"}
LEFT_OUT |= {"head_confidence", "attention_confidence", "head_importance", "dss", "w_pca"}
IMAGES = 20


def main() -> None:
    """Print a line for each score."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = [name for name in PROXIES if name not in LEFT_OUT]
    networks = nb201(arguments.tables, classes=False)
    random.Random(5).shuffle(networks)
    space, rows = NASBench201(cells=1), []
    batches = [pictures(arguments.images, which) for which in (0, 1)]
    for arch, _, _ in networks[: arguments.networks]:
        row = {}
        for seed, batch in enumerate(batches):
            found = score(space.build(space.parse(arch), seed), batch, names, seed=seed)
            row |= {(name, seed): one.value for name, one in found.items()}
        rows.append(row)
    table = pd.DataFrame(rows)
    for name in names:
        print(f"{name:20} {table[name, 0].corr(table[name, 1], method='spearman'):6.2f}")


def pictures(path: Path, which: int) -> Batch:
    """Normalised pictures of ten classes, others for each `which`."""
    with np.load(path) as file:
        images, labels = file["images"], file["labels"]
    order = np.argsort(np.arange(len(labels)) % (len(labels) // 10), kind="stable")
    chosen = order[IMAGES * which : IMAGES * (which + 1)]
    x = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 255
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    return Batch((x - mean) / std, torch.from_numpy(labels[chosen]).long())


if __name__ == "__main__":
    main()
