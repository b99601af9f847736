"""Estimate the time to score all of NAS-Bench-201 on two cores, by foretell and by the reference.

    python bench/sweep_cost.py --reference DIR [--sample 200] [--reference-sample 40] [--clock wall]

DIR is a checkout of github.com/SamsungLabs/zero-cost-nas, the reference. Its loop scores 15,625
cells one by one on two threads; foretell scores one cell of each of the 6,466 classes of isomorphic
cells, in two processes with one thread each. The time is that of building a network and computing
the six scores of the paper on 64 images: the mean of a random sample, times the number of networks.
The time to load images is not included in either.

`--clock wall` measures as described; OMP_WAIT_POLICY=passive keeps threads from spinning. For a
machine with other work, `--clock own` measures the CPU time of both on one thread and halves it.
This assumes that two threads are twice as fast as one, which is more than the reference gains.
"""

import argparse
import contextlib
import itertools
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev

import torch

from compare import their_scores
from foretell import score
from foretell.executors.own_memory import freeze_objects, keep_memory
from foretell.proxies import PAPER
from foretell.spaces import NASBench201

Seconds = list[float]
BLOCK = 8  # the number of our networks per turn
CORES = 2


def images(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images and labels."""
    space, generator = NASBench201(), torch.Generator().manual_seed(0)
    shape = (space.in_channels, space.resolution, space.resolution)
    pixels = torch.randn(batch, *shape, generator=generator)
    return pixels, torch.randint(space.classes, (batch,), generator=generator)


def theirs(cell: tuple[int, ...], batch: int) -> None:
    """Build a network and score it like the authors' loop."""
    from foresight.models.nasbench2 import get_model_from_arch_str

    space = NASBench201()
    network = get_model_from_arch_str(space.format(cell), space.classes)
    their_scores(network, images(batch), time.process_time)


def ours(cell: tuple[int, ...], batch: int) -> None:
    """Build a network and score it with foretell."""
    score(NASBench201().build(cell, seed=0), images(batch), PAPER)


def one_by_one(
    score_one: Callable[[tuple[int, ...], int], None],
    cells: Sequence[tuple[int, ...]],
    batch: int,
    clock: Callable[[], float],
) -> Seconds:
    """The seconds of each cell."""
    found = []
    for cell in cells:
        start = clock()
        score_one(cell, batch)
        found.append(clock() - start)
    return found


def in_worker(cell: tuple[int, ...], batch: int) -> float:
    """The seconds of one of our networks, while another process also scores."""
    return one_by_one(ours, [cell], batch, time.perf_counter)[0]


def turns(
    their_cells: Sequence[tuple[int, ...]], our_cells: Sequence[tuple[int, ...]]
) -> Iterator[tuple[list[tuple[int, ...]], list[tuple[int, ...]]]]:
    """Alternating parts of both samples, so that other work on the machine affects both."""
    count = max(1, min(len(their_cells), -(-len(our_cells) // BLOCK)))
    for turn in range(count):
        yield list(their_cells[turn::count]), list(our_cells[turn::count])


def measured(arguments: argparse.Namespace) -> tuple[Seconds, Seconds]:
    """The seconds per network on both cores, of theirs and of ours."""
    own, batch = arguments.clock == "own", arguments.batch
    clock = time.process_time if own else time.perf_counter
    torch.set_num_threads(1 if own else CORES)
    generator = random.Random(arguments.seed)
    space = NASBench201()
    cells = list(itertools.product(range(5), repeat=6))
    classes = sorted({space.canonical(cell) for cell in cells})
    print(f"{len(cells):,} cells, {len(classes):,} classes of isomorphic cells")
    their_cells = generator.sample(cells, arguments.reference_sample)
    our_cells = generator.sample(classes, arguments.sample)
    their_seconds: Seconds = []
    our_seconds: Seconds = []
    with contextlib.nullcontext() if own else workers() as pool:
        warm_up(their_cells[0], pool)
        for their_block, our_block in turns(their_cells, our_cells):
            taken = one_by_one(theirs, their_block, batch, clock)
            their_seconds += [one / CORES for one in taken] if own else taken
            if pool is None:
                taken = one_by_one(ours, our_block, batch, clock)
                our_seconds += [one / CORES for one in taken]
            else:
                both_busy = pool.map(in_worker, our_block, [batch] * len(our_block))
                our_seconds += [one / CORES for one in both_busy]
    return their_seconds, our_seconds


def workers() -> ProcessPoolExecutor:
    """Two processes with one thread each, like those of the command line."""
    return ProcessPoolExecutor(CORES, get_context("spawn"), initializer=begin)


def begin() -> None:
    """Set up a worker process."""
    torch.set_num_threads(1)
    keep_memory()
    freeze_objects()


def warm_up(cell: tuple[int, ...], pool: ProcessPoolExecutor | None) -> None:
    """Score a few images once in every process that will be measured."""
    theirs(cell, 8)
    if pool is None:
        ours(cell, 8)
    else:
        list(pool.map(ours, [cell] * 2 * CORES, [8] * 2 * CORES))


def estimate(who: str, seconds: Seconds, networks: int) -> float:
    """Print and return the hours that `networks` networks take on two cores."""
    hours = mean(seconds) * networks / 3600
    error = stdev(seconds) / sqrt(len(seconds)) * networks / 3600 if len(seconds) > 1 else 0.0
    print(
        f"{who:10} {networks:6,} networks, {mean(seconds):6.3f} s each on two cores "
        f"(mean of {len(seconds)}): {hours:6.2f} h ± {error:.2f}"
    )
    return hours


def main() -> None:
    """Print both estimates and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reference", type=Path, help="a checkout of SamsungLabs/zero-cost-nas")
    parser.add_argument(
        "--sample", type=int, default=200, help="number of classes that foretell scores"
    )
    parser.add_argument(
        "--reference-sample", type=int, default=40, help="number of cells that the reference scores"
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1, help="seed of both samples")
    parser.add_argument("--clock", choices=("wall", "own"), default="wall")
    arguments = parser.parse_args()
    if arguments.reference is None:
        print("comparison skipped: give --reference, a checkout of SamsungLabs/zero-cost-nas")
        return
    if not (arguments.reference / "foresight" / "pruners").is_dir():
        sys.exit(
            f"--reference is {arguments.reference}, which has no folder foresight/pruners; give a "
            "checkout of SamsungLabs/zero-cost-nas"
        )
    sys.path.insert(0, str(arguments.reference))
    warnings.simplefilter("ignore")  # the reference uses hooks that torch has deprecated
    their_seconds, our_seconds = measured(arguments)
    cells, classes = 5**6, 6466
    their_hours = estimate("reference", their_seconds, cells)
    our_hours = estimate("foretell", our_seconds, classes)
    print(f"times faster: {their_hours / our_hours:.1f}")


if __name__ == "__main__":
    main()
