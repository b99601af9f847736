"""Score thousands of small networks, and observe whether memory, processes or handles grow.

    python bench/soak.py [--networks 2000] [--workers 2] [--every 5] [--figure docs/soak.svg]

It runs a study of NAS-Bench-201 cells with 4 channels on the digits, with batches of 8 images, by
snip and synflow, in a temporary folder. Every few seconds, it prints a line with the number of
networks scored so far, the resident memory in MiB, and the numbers of processes, threads and open
files. Linux only; needs the extras studies and report.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import vl_convert

from foretell.progress import Progress
from foretell.report.charts import records
from foretell.spaces import enumerate_space, make_space
from foretell.studies.run import run_study
from foretell.tables import Table

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
SPACE = "nb201?channels=4,cells=1"
PROXIES = ("snip", "synflow")
BATCH = 8
PAGE = os.sysconf("SC_PAGE_SIZE")
WARM = 0.2
"""The share of the networks after which everything that is created once should exist."""
MEMORY = ("parent", "workers", "all")
COUNTS = ("processes", "threads", "files")


@dataclass(frozen=True)
class Seen:
    """The resources of the run at one moment, including its helper processes."""

    networks: int
    seconds: float
    parent: float  # MiB resident
    workers: float  # MiB resident, the sum over all child processes
    processes: int
    threads: int
    files: int


@dataclass
class Watch:
    """A progress callback that records this process and its children every few seconds.

    Seconds count from its creation, so they include the start of the workers.
    """

    every: float
    networks: int
    seen: list[Seen] = field(default_factory=list)
    done: int = 0
    start: float = field(default_factory=time.perf_counter)

    def __call__(self, event: Progress) -> None:
        """Count a network, and record the resources if it is time."""
        self.done += 1
        due = not self.seen or self.now() - self.seen[-1].seconds >= self.every
        if due or self.done == self.networks:
            self.look()

    def now(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    def look(self) -> None:
        """Record the resources, and print them as a line."""
        pids = [os.getpid(), *descendants(os.getpid())]
        resident = [memory(pid) for pid in pids]
        threads, files = (sum(entries(pid, what) for pid in pids) for what in ("task", "fd"))
        children = sum(resident[1:])
        one = Seen(self.done, self.now(), resident[0], children, len(pids), threads, files)
        if not self.seen:
            print(*(f"{name:>9}" for name in asdict(one)))
        print(*(f"{value:9,.0f}" for value in asdict(one).values()), flush=True)
        self.seen.append(one)


def descendants(pid: int) -> Iterator[int]:
    """The children of a process, and their descendants."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


def memory(pid: int) -> float:
    """The resident memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


def entries(pid: int, what: str) -> int:
    """The number of threads (`task`) or open files (`fd`) of a process."""
    return len(os.listdir(f"/proc/{pid}/{what}"))


def cells() -> Table:
    """A table of every cell of the space, with accuracies that are not used."""
    space = make_space("nb201")
    keys = [space.format(arch) for arch in enumerate_space(space)]
    frame = pd.DataFrame({"accuracy": range(len(keys))}, index=keys, dtype=float)
    return Table("soak", "nb201", frame, reporting=("accuracy",))


def main() -> None:
    """Run the study, print the resources and their growth, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--figure", type=Path, default=Path("docs/soak.svg"))
    arguments = parser.parse_args()
    frame = pd.DataFrame(soaked(arguments.networks, arguments.workers, arguments.every))
    for line in growth(frame):
        print(line)
    arguments.figure.write_text(figure(frame))


def soaked(networks: int, workers: int, every: float) -> list[Seen]:
    """The resources recorded while `networks` networks were scored, the last time at the end."""
    watch = Watch(every, networks)
    with TemporaryDirectory() as folder:
        run_study(
            cells(),
            "digits",
            run=Path(folder, "run"),
            proxies=PROXIES,
            sample=networks,
            batch_size=BATCH,
            space=SPACE,
            workers=workers,
            progress=watch,
        )
    return watch.seen


def growth(frame: pd.DataFrame) -> Iterator[str]:
    """For each resource, a line with its value after the warm-up and at the end."""
    frame = frame.assign(all=frame["parent"] + frame["workers"])
    last = frame.iloc[-1]
    warm = frame[frame["networks"] >= WARM * last["networks"]].iloc[0]
    networks, seconds = last["networks"], last["seconds"]
    yield f"{networks:,.0f} networks in {seconds:.0f} s, {networks / seconds:.1f} a second"
    for name in (*MEMORY, *COUNTS):
        unit = " MiB" if name in MEMORY else ""
        yield (
            f"{name}: {warm[name]:,.0f}{unit} after {warm['networks']:,.0f} networks, "
            f"{last[name]:,.0f}{unit} after {networks:,.0f}, {frame[name].max():,.0f}{unit} at most"
        )


def figure(frame: pd.DataFrame) -> str:
    """Memory and counts against the number of networks, as SVG."""
    panels = [
        panel(frame, ("parent", "workers"), "resident memory (MiB)"),
        panel(frame, COUNTS, "number"),
    ]
    chart = {"$schema": SCHEMA, "background": "white", "vconcat": panels}
    chart["resolve"] = {"scale": {"color": "independent"}}
    return str(vl_convert.vegalite_to_svg(json.dumps(chart, allow_nan=False)))


def panel(frame: pd.DataFrame, names: tuple[str, ...], title: str) -> dict[str, object]:
    """A panel with one line per column."""
    long = frame.melt("networks", list(names), "what", "value")
    x = {"field": "networks", "type": "quantitative", "title": "networks scored"}
    y = {"field": "value", "type": "quantitative", "title": title, "scale": {"zero": True}}
    colour = {"field": "what", "type": "nominal", "sort": list(names), "legend": {"title": None}}
    return {
        "data": {"values": records(long)},
        "width": 560,
        "height": 200,
        "mark": {"type": "line", "interpolate": "step-after"},
        "encoding": {"x": x, "y": y, "color": colour},
    }


if __name__ == "__main__":
    main()
