"""Measure the store of a run: opening, memory, committed rows a second, look-ups and file size.

    python bench/store.py [--networks 100000] [--proxies 1] [--folder DIR]

The rows are made up, with keys like those of a study on NAS-Bench-201. Memory is the growth of this
process, whose modules are imported before. The folder should be on the disk to be measured.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from foretell.runs.rowfile import ROWS, write_rows
from foretell.runs.rowlog import canonical, row_line
from foretell.runs.rows import Network, ScoreRow
from foretell.runs.store import RunRows, Store
from foretell.scoring.score import Score

CONFIG = {"seed": 0}
PROXIES = ("snip", "grad_norm", "synflow", "fisher", "grasp", "jacob_cov")
HOW = {"loss": "cross_entropy", "precision": "full"}
SYNCED = 500
"""The number of rows that are committed one by one."""


def rows(networks: int, proxies: int) -> Iterator[dict[str, Any]]:
    """Made-up scores, network by network."""
    settings, dice = {"cells": 5, "channels": 16, "classes": 10}, Random(0)
    for number in range(networks):
        network = Network("nb201", settings, named(number), 0)
        for proxy in PROXIES[:proxies]:
            score = Score(dice.random(), dice.random(), None)
            row = ScoreRow(network, proxy, {}, "0123456789abcdef" * 4, HOW, score)
            yield {"key": row.key(), **row.values()}


def timed(what: str, do: Callable[[], Any], count: int = 0) -> Any:
    """The result of the function; the seconds that it took and the peak of memory are printed."""
    start = time.perf_counter()
    result = do()
    seconds = time.perf_counter() - start
    rate = f"{count / seconds:12,.0f} a second" if count else ""
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"{what:<36}{seconds:9.3f} s  peak {peak:6.0f} MiB{rate}", flush=True)
    return result


def write(folder: Path, networks: int, proxies: int) -> None:
    """Commit all rows in groups."""
    with Store.open(folder, CONFIG) as store, store.group():
        for row in rows(networks, proxies):
            store.add(row)


def write_at_once(folder: Path, networks: int, proxies: int) -> None:
    """Write the file with all rows, equal but for their networks, in one commit."""
    Store.open(folder, CONFIG).close()
    texts = [canonical(row) for row in rows(1, proxies)]
    names = map(named, range(networks))
    write_rows(folder, (row_line(t.replace(named(0), name)) for name in names for t in texts))


def named(number: int) -> str:
    """The name of a network."""
    return f"network-{number:09d}"


def write_singly(folder: Path) -> None:
    """Commit some rows one by one."""
    with Store.open(folder, CONFIG) as store:
        for row in rows(SYNCED, 1):
            store.add(row)


def read(folder: Path, networks: int, proxies: int, step: str) -> None:
    """Measure one step of using a folder of rows."""
    if step == "open":
        store = timed("open", lambda: Store.open(folder, CONFIG))
        keys = [row["key"] for row in islice(rows(networks, proxies), 10_000)]
        timed("10,000 look-ups", lambda: [key in store for key in keys], 10_000)
        store.close()
    else:
        count = timed("read all rows", lambda: sum(1 for _ in RunRows(folder)), networks * proxies)
        assert count == networks * proxies


def main() -> None:
    """Write the rows, and measure each step in a new process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=100_000)
    parser.add_argument("--proxies", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--at-once", action="store_true", help="write the file in one commit")
    parser.add_argument("--step", choices=("write", "singly", "open", "read"))
    arguments = parser.parse_args()
    counts = arguments.networks, arguments.proxies
    if arguments.step is None:
        folder = Path(tempfile.mkdtemp(prefix="store-", dir=arguments.folder))
        try:
            for step in ("singly", "write", "open", "read"):
                words = [sys.executable, __file__, *sys.argv[1:], "--folder", str(folder)]
                subprocess.run([*words, "--step", step], check=True)
            print(f"file: {(folder / 'all' / ROWS).stat().st_size / 1e6:,.0f} MB")
        finally:
            shutil.rmtree(folder)
        return
    timed(f"{arguments.step}: before", lambda: None)
    if arguments.step == "singly":
        timed("add rows one by one", lambda: write_singly(arguments.folder / "singly"), SYNCED)
    elif arguments.step == "write":
        whole = arguments.folder / "all"
        way = write_at_once if arguments.at_once else write
        timed("write all rows", lambda: way(whole, *counts), counts[0] * counts[1])
    else:
        read(arguments.folder / "all", *counts, arguments.step)


if __name__ == "__main__":
    main()
