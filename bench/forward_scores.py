"""Measure the seconds that rmin and d8 take on networks of NAS-Bench-201.

    python bench/forward_scores.py [--networks 40] [--repeats 5] [--scores rmin d8]

Random cells are built as networks of one cell per stage, scored on four images, and as full
networks of five cells per stage, scored on eight. For both, the script prints the median, the 90th
percentile and the maximum of the CPU seconds of one thread, the target for the median, and the
ratio to a forward pass of the same images. Other work on the machine also increases CPU seconds, so
run the script alone.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from foretell import score
from foretell.spaces import NASBench201

SIZES = {"one cell a stage": (1, 4, 0.02), "five cells a stage": (5, 8, 0.15)}
"""Cells a stage, images, and the seconds that the median network may take."""


def main() -> None:
    """Print a line for each size of the network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("networks", 40), ("repeats", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--scores", nargs="+", default=["rmin", "d8"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'network':20} {'images':>6} {'median s':>9} {'90 % s':>7} {'max s':>7} {'target':>7} "
          f"{'of a forward pass':>18}")  # fmt: skip
    for name, (cells, images, target) in SIZES.items():
        taken, ratios = measured(cells, images, arguments)
        ninth = statistics.quantiles(taken, n=10)[-1]
        print(f"{name:20} {images:6} {statistics.median(taken):9.4f} {ninth:7.4f} "
              f"{max(taken):7.4f} {target:7.2f} {statistics.median(ratios):18.2f}")  # fmt: skip


def measured(
    cells: int, images: int, arguments: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """The seconds of each network, and their ratios to those of a forward pass."""
    space, dice = NASBench201(cells=cells), random.Random(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    batch = torch.randn(images, 3, 32, 32, generator=generator), torch.arange(images) % 10
    taken, ratios = [], []
    for _ in range(arguments.networks):
        model = space.build(tuple(dice.randrange(5) for _ in range(6)), seed=arguments.seed)
        seconds = fastest(lambda m=model: score(m, batch, arguments.scores), arguments.repeats)
        forward = fastest(lambda m=model: forwarded(m, batch[0]), arguments.repeats)
        taken.append(seconds)
        ratios.append(seconds / forward)
    return taken, ratios


def forwarded(model: nn.Module, images: Tensor) -> None:
    """One forward pass without a graph."""
    with torch.no_grad():
        model(images)


def fastest(work: Callable[[], object], repeats: int) -> float:
    """The least CPU seconds of several runs, the first of which only warms up."""
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


if __name__ == "__main__":
    main()
