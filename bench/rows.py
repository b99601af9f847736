"""Measure the time to resume, read, evaluate and report a run folder with many rows.

    python bench/rows.py TABLE [--folder DIR] [--repeats 2]

TABLE is an imported table of NAS-Bench-201. Each of its 6,466 classes gets random scores for eight
proxies per repeat, so two repeats are 103,456 rows. Needs the extras studies and report.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from random import Random
from typing import Any

from foretell.report.write import write_report
from foretell.runs.rowfile import ROWS
from foretell.runs.store import read_rows
from foretell.scoring.score import Score
from foretell.studies.judging import judge
from foretell.studies.read import read_study
from foretell.studies.run import run_study

PROXIES = ("synflow", "snip", "grasp", "fisher", "grad_norm", "jacob_cov", "params", "flops")


class MadeUp(Executor):
    """An executor that returns random scores immediately."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        rng = Random(str(fn.arch))
        future.set_result({name: Score(rng.random(), 0.1, None) for name in fn.proxies})
        return future


def timed(what: str, do: Callable[[], Any]) -> Any:
    """The result of the function; the seconds that it took are printed."""
    start = time.perf_counter()
    result = do()
    print(f"{what:<28}{time.perf_counter() - start:8.2f} s", flush=True)
    return result


def main() -> None:
    """Write the rows, and measure everything that reads them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        run = arguments.folder or Path(aside) / "run"

        def study() -> Path:
            return run_study(
                arguments.table,
                "digits",
                run=run,
                proxies=PROXIES,
                sample=None,
                repeats=arguments.repeats,
                executor=MadeUp(),
            )

        timed("write", study)
        print(f"{len(read_rows(run)):,} rows, {(run / ROWS).stat().st_size / 1e6:.0f} MB")
        timed("resume, nothing to do", study)
        rows = timed("read", lambda: read_study(run))
        timed("judge", lambda: judge(rows))
        timed("report, judged again", lambda: write_report(run))


if __name__ == "__main__":
    main()
