"""Compare the six scores of the paper with its authors' code: time, peak memory and values.

    python bench/compare.py --reference DIR [--cells 14] [--threads 1] [--repeats 3]

DIR is a checkout of github.com/SamsungLabs/zero-cost-nas, the reference; without it, nothing is
compared. Both programs score the same NAS-Bench-201 networks, with the same weights and random
images, alternating, each in its own process: that of foretell is set up like the command line, that
of the reference is a plain Python process. With `--same-process-memory`, the reference keeps freed
memory as foretell does.

The script prints the seconds and ratios (above 1, foretell is faster) of all six scores in one call
and of each alone, the differences of the values, and the peak memory of new processes.

On one thread, the time is the CPU time of the process, since wall-clock time includes other work;
on several threads, it is the wall-clock time. The network of the reference is the variant
`reference` of the space. Where the reference differs from the definition, foretell computes the
variants that match it: fisher_reference and synflow_reference.
"""

import argparse
import contextlib
import io
import json
import math
import random
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import geometric_mean, median

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]

from foretell import score  # noqa: E402
from foretell.executors.own_memory import freeze_objects, keep_memory  # noqa: E402
from foretell.proxies import PAPER  # noqa: E402
from foretell.spaces import NASBench201  # noqa: E402
from golden_nb201 import check_same_outputs, their_network  # noqa: E402

OURS = {"fisher": "fisher_reference", "synflow": "synflow_reference"}
"""The name of a proxy in the reference → ours, if theirs is a different quantity."""
CONVOLUTIONS_EVERYWHERE = "333333"  # the network that needs most memory
WALL_OR_OWN: dict[bool, Callable[[], float]] = {True: time.process_time, False: time.perf_counter}

Images = tuple[Tensor, Tensor]
Networks = tuple[nn.Module, nn.Module, Images]
Answer = tuple[dict[str, float], dict[str, float]]


@dataclass
class Row:
    """The measurements on one cell; the key `""` stands for all six in one call."""

    cell: str
    theirs: dict[str, float] = field(default_factory=dict)
    ours: dict[str, float] = field(default_factory=dict)
    apart: dict[str, float] = field(default_factory=dict)

    def ratio(self, name: str = "") -> float:
        """Their seconds / ours."""
        return self.theirs[name] / self.ours[name]


def networks(cell: str, batch: int, seed: int) -> Networks:
    """Our network, theirs with the same weights, and images with labels."""
    space = NASBench201(variant="reference")
    ours = space.build(space.parse(cell), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    shape = (space.in_channels, space.resolution, space.resolution)
    images = torch.randn(batch, *shape, generator=generator)
    labels = torch.randint(space.classes, (batch,), generator=generator)
    return ours, their_network(cell, ours), (images, labels)


def check_equal(cell: str, seed: int) -> None:
    """Stop unless both networks compute the same in float64."""
    ours, theirs, (images, _) = networks(cell, 4, seed)
    check_same_outputs(ours.double(), theirs, images.double())


def their_scores(
    theirs: nn.Module, images: Images, clock: Callable[[], float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Their values and seconds by proxy, from one call for all six."""
    from foresight.pruners import measures
    from foresight.pruners.predictive import find_measures

    seconds: dict[str, float] = {}
    calculate = measures.calc_measure

    def timed(name: str, *args: object, **kwargs: object) -> object:
        start = clock()
        value = calculate(name, *args, **kwargs)
        seconds[name] = clock() - start
        return value

    measures.calc_measure = timed
    start = clock()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            values = find_measures(theirs, [images], ("random", 1, 10), "cpu", measure_names=PAPER)
    finally:
        measures.calc_measure = calculate
    seconds[""] = clock() - start
    return {name: complex(values[name]).real for name in PAPER}, seconds


def our_scores(
    ours: nn.Module, images: Images, names: Sequence[str], clock: Callable[[], float]
) -> tuple[dict[str, float], float]:
    """Our values under their names, and the seconds of the call."""
    start = clock()
    found = score(ours, images, [OURS.get(name, name) for name in names])
    seconds = clock() - start
    return {name: found[OURS.get(name, name)].value for name in names}, seconds


def relative(name: str, theirs: float, ours: float) -> float:
    """|ours / theirs − 1|; nan if both are undefined or zero."""
    if name == "synflow":  # ours is the logarithm
        return abs(math.expm1(ours - math.log(theirs))) if theirs > 0 else math.nan
    return abs(ours / theirs - 1) if theirs else abs(ours) or math.nan


class Scorer:
    """A process that scores one network after another with their code or with ours."""

    def __init__(self, who: str, arguments: argparse.Namespace) -> None:
        self.who = who
        self._process = subprocess.Popen(
            command(f"serve-{who}", arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def score(self, cell: str, batch: int, names: Sequence[str]) -> Answer:
        """Values and seconds by proxy; the key `""` stands for all in one call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([cell, batch, list(names)]), file=self._process.stdin, flush=True)
        values, seconds = json.loads(self._process.stdout.readline())
        return values, seconds

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(who: str, arguments: argparse.Namespace) -> None:
    """Answer each line of standard input with values and seconds."""
    if who == "ours" or arguments.same_process_memory:
        keep_memory()
        freeze_objects()
    clock = WALL_OR_OWN[arguments.threads == 1]
    out, sys.stdout = sys.stdout, sys.stderr
    for text in sys.stdin:
        cell, batch, names = json.loads(text)
        ours, theirs, images = networks(cell, batch, arguments.seed)
        if who == "theirs":
            answer = their_scores(theirs, images, clock)
        else:
            values, together = our_scores(ours, images, names, clock)
            answer = values, {"": together}
        print(json.dumps(answer), file=out, flush=True)


def compare(cell: str, arguments: argparse.Namespace, theirs: Scorer, ours: Scorer) -> Row:
    """The medians over the repeats on one cell."""
    alone = [] if arguments.only_together else list(PAPER)
    taken: dict[tuple[str, str], list[float]] = {}
    row = Row(cell)
    for _ in range(arguments.repeats):
        their_values, seconds = theirs.score(cell, arguments.batch, PAPER)
        for name in ("", *PAPER):
            taken.setdefault(("theirs", name), []).append(seconds[name])
        our_values, together = ours.score(cell, arguments.batch, PAPER)
        taken.setdefault(("ours", ""), []).append(together[""])
        for name in alone:
            _, seconds_alone = ours.score(cell, arguments.batch, [name])
            taken.setdefault(("ours", name), []).append(seconds_alone[""])
        row.apart = {n: relative(n, their_values[n], our_values[n]) for n in PAPER}
    row.theirs = {name: median(all_of) for (who, name), all_of in taken.items() if who == "theirs"}
    row.ours = {name: median(all_of) for (who, name), all_of in taken.items() if who == "ours"}
    return row


def command(part: str, arguments: argparse.Namespace) -> list[str]:
    """The command that runs one part of this script with the same settings."""
    own = ("reference", "batch", "seed", "threads")
    settings = [f"--{name}={getattr(arguments, name)}" for name in own]
    more = ["--same-process-memory"] if arguments.same_process_memory else []
    return [sys.executable, __file__, "--part", part, *settings, *more]


def peak(who: str, cell: str, arguments: argparse.Namespace) -> float:
    """Peak memory in MiB of a process that builds both networks and scores one of them once."""
    own = [*command(who, arguments), "--cell", cell]
    return float(subprocess.run(own, capture_output=True, check=True, text=True).stdout)


def part(arguments: argparse.Namespace) -> None:
    """Score once and print the peak memory of this process, or answer requests."""
    if arguments.part.startswith("serve-"):
        serve(arguments.part.removeprefix("serve-"), arguments)
        return
    if arguments.part == "ours":
        keep_memory()
        freeze_objects()
    ours, theirs, images = networks(arguments.cell, arguments.batch, arguments.seed)
    if arguments.part == "theirs":
        their_scores(theirs, images, time.perf_counter)
    elif arguments.part == "ours":
        our_scores(ours, images, PAPER, time.perf_counter)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def line(row: Row) -> str:
    """The line of the table for one cell."""
    apart = " ".join(f"{row.apart[name]:10.0e}" for name in PAPER)
    together = f"{row.theirs['']:8.2f} {row.ours['']:8.2f} {row.ratio():7.2f}"
    return f"{row.cell} {together}  {apart}"


def summary(rows: Sequence[Row]) -> str:
    """Median, smallest and mean ratio, for the six together and for each alone."""
    lines = []
    for name in ("", *PAPER):
        ratios = [row.ratio(name) for row in rows if name in row.ours]
        if ratios:
            apart = [row.apart[name] for row in rows if name and not math.isnan(row.apart[name])]
            values = f"values apart {median(apart):.0e}, at most {max(apart):.0e}" if apart else ""
            mean = geometric_mean(ratios)
            lines.append(
                f"{name or 'six together':12} median {median(ratios):6.2f}  "
                f"least {min(ratios):6.2f}  geometric mean {mean:6.2f}  {values}".rstrip()
            )
    return "\n".join(lines)


def memory_lines(cells: Sequence[str], arguments: argparse.Namespace) -> None:
    """Print the peak memory of both on each cell."""
    print(f"{'peak MiB':12} reference     ours    ratio   before scoring")
    for cell in cells:
        theirs, ours, before = (peak(who, cell, arguments) for who in ("theirs", "ours", "nobody"))
        print(f"{cell:12} {theirs:9.0f} {ours:8.0f} {theirs / ours:8.2f} {before:8.0f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reference", type=Path, help="a checkout of SamsungLabs/zero-cost-nas")
    for name, default in (("cells", 14), ("threads", 1), ("repeats", 3), ("batch", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=1, help="seed of cells, weights and images")
    parser.add_argument("--only-together", action="store_true", help="omit the proxies alone")
    parser.add_argument("--only-memory", action="store_true", help="omit the times")
    parser.add_argument("--only-speed", action="store_true", help="omit the peak memory")
    parser.add_argument(
        "--same-process-memory",
        action="store_true",
        help="the reference keeps freed memory as foretell does",
    )
    parts = ("theirs", "ours", "nobody", "serve-theirs", "serve-ours")
    parser.add_argument("--part", choices=parts, help=argparse.SUPPRESS)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
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
    torch.set_num_threads(arguments.threads)
    if arguments.part:
        part(arguments)
        return
    # before this process grows: a child reports at least the memory of its parent at the start
    cells = sampled(arguments.cells, arguments.seed)
    if not arguments.only_speed:
        memory_lines([CONVOLUTIONS_EVERYWHERE, *cells[:2]], arguments)
    if not arguments.only_memory:
        speed_lines(cells, arguments)


def sampled(count: int, seed: int) -> list[str]:
    """`count` different random cells, each as six digits."""
    space = NASBench201()
    indices = random.Random(seed).sample(range(5**6), count)
    return ["".join(map(str, space.parse(str(index)))) for index in indices]


def speed_lines(cells: Sequence[str], arguments: argparse.Namespace) -> None:
    """Print the seconds and ratios on each cell, and their summary."""
    apart = " ".join(f"{name:>10}" for name in PAPER)
    print(f"\n{'cell':6} {'theirs s':>8} {'ours s':>8} {'ratio':>7}  {apart}  (values apart)")
    scorers = Scorer("theirs", arguments), Scorer("ours", arguments)
    for scorer in scorers:  # each scores the network that needs most memory first
        scorer.score(CONVOLUTIONS_EVERYWHERE, arguments.batch, PAPER)
    rows = []
    for cell in cells:
        check_equal(cell, arguments.seed)
        rows.append(compare(cell, arguments, *scorers))
        print(line(rows[-1]), flush=True)
    for scorer in scorers:
        scorer.close()
    print(f"\ntimes faster than the reference, {arguments.threads} thread(s), {len(rows)} cells")
    print(summary(rows))


if __name__ == "__main__":
    main()
