"""Measure the time of the six scores of the paper that does not depend on the number of images.

    python bench/overhead.py [--cell 113011] [--networks 40]

With two images, most of the time goes into calls of Python and torch, not into arithmetic. The
script prints the smallest CPU time in milliseconds over several networks, since other work on the
machine only adds to it. To compare two versions, run it in turn with PYTHONPATH set to the `src`
folder of each.
"""

import argparse
import time

import torch

from foretell import score
from foretell.spaces import NASBench201

SIX = ["grad_norm", "snip", "grasp", "fisher_reference", "synflow_reference", "jacob_cov"]


def milliseconds(cell: str, networks: int) -> float:
    """The smallest CPU time of scoring one network of this cell."""
    space = NASBench201(variant="reference")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 32, 32, generator=generator)
    taken = []
    for seed in range(networks):
        model = space.build(space.parse(cell), seed=seed)
        start = time.process_time()
        score(model, (images, torch.tensor([0, 1])), SIX)
        taken.append(time.process_time() - start)
    return 1000 * min(taken)


def main() -> None:
    """Print the time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cell", default="113011")
    parser.add_argument("--networks", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{milliseconds(arguments.cell, arguments.networks):.1f} ms")


if __name__ == "__main__":
    main()
