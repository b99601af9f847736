"""Show the progress of a command.

On a terminal, this is a bar; otherwise an estimate after five seconds, and a line every half
minute.
"""

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from foretell.cli.interrupt import raise_if_interrupted
from foretell.cli.output import note, printable
from foretell.progress import Progress

__all__ = ["Pace", "ShownProgress"]

FIRST, EVERY = 5.0, 30.0
"""Seconds until the first estimate, and between two lines, if there is no terminal."""

DOING = {
    "score": "scoring",
    "train": "training",
    "search": "searching",
    "retrain": "training",
    "import": "importing",
    "fetch": "downloading MB",
}


class Pace:
    """Estimates the remaining time from the measured pace of each kind of work.

    >>> seconds = iter([0.0, 2.0, 4.0])
    >>> pace = Pace({"score": 4, "train": 1}, lambda: next(seconds))
    >>> for done in (1, 2):
    ...     pace.add(Progress("score", done, 4, 0.0, name="333333"))
    >>> pace.left, pace.share, pace.line
    (6.0, 0.4, 'scoring 2 of 4, about 0:06 left in total')
    """

    def __init__(
        self, totals: Mapping[str, int], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`totals` has the number of units of each kind, if known."""
        self._totals: dict[str, int] = dict(totals)
        self._done: dict[str, int] = {}
        self._computed: dict[str, int] = {}
        self._spent: dict[str, float] = {}
        self._clock = clock
        self._last = clock()
        self._event: Progress | None = None

    def add(self, event: Progress) -> None:
        """Count one finished unit; units that were read from the run folder took no time."""
        now, kind = self._clock(), event.what
        self._event = event
        self._done[kind] = event.done
        self._totals[kind] = max(self._totals.get(kind, 0), event.total or 0, event.done)
        if not event.cached:
            self._spent[kind] = self._spent.get(kind, 0.0) + now - self._last
            self._computed[kind] = self._computed.get(kind, 0) + 1
        self._last = now

    @property
    def left(self) -> float:
        """The remaining seconds, at the pace of each kind, or at the slowest one if unknown."""
        paces = {kind: self._spent[kind] / self._computed[kind] for kind in self._computed}
        slowest = max(paces.values(), default=0.0)
        return sum(
            (total - self._done.get(kind, 0)) * paces.get(kind, slowest)
            for kind, total in self._totals.items()
        )

    @property
    def share(self) -> float:
        """The share of the time that has passed, from 0 to 1."""
        spent = sum(self._spent.values())
        return spent / (spent + self.left) if spent else 0.0

    @property
    def doing(self) -> str:
        """The current kind of work, and the number of units done."""
        if self._event is None:
            return "starting"
        kind = self._event.what
        of = "" if self._event.total is None else f" of {self._totals[kind]}"
        return f"{DOING.get(kind, kind)} {self._done[kind]}{of}"

    @property
    def name(self) -> str:
        """The name of the unit that was finished last."""
        return "" if self._event is None else self._event.name

    @property
    def line(self) -> str:
        """The progress in one line."""
        left = f", about {clock(self.left)} left in total" if self._computed else ""
        return f"{self.doing}{left}"


class ShownProgress:
    """A `progress` callback that shows the progress; use it in a `with` statement."""

    def __init__(self, totals: Mapping[str, int] | None = None) -> None:
        """`totals` has the expected number of units of each kind, if known."""
        console = Console(stderr=True)
        self._pace = Pace(totals or {})
        fixed, short = Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._bar = Bar(
            TextColumn("{task.description}", style="bold", table_column=fixed),
            BarColumn(bar_width=20, table_column=fixed),
            TextColumn("{task.percentage:>3.0f} %", table_column=fixed),
            TextColumn("{task.fields[left]}", style="cyan", table_column=fixed),
            TextColumn("{task.fields[name]}", style="dim", table_column=short, markup=False),
            console=console,
            transient=True,
            expand=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=1.0, left="", name="")
        self._over = threading.Event()

    def __call__(self, event: Progress) -> None:
        """Show one finished unit of work."""
        raise_if_interrupted()
        self._pace.add(event)
        self._bar.update(
            self._task,
            description=self._pace.doing,
            completed=self._pace.share,
            left=f"{clock(self._pace.left)} left",
            name=printable(self._pace.name),
        )

    def __enter__(self) -> Self:
        self._bar.start()
        if self._bar.disable:
            threading.Thread(target=self._lines, daemon=True).start()
        return self

    def _lines(self) -> None:
        if not self._over.wait(FIRST) and self._pace.left >= EVERY:
            note(self._pace.line)
        while not self._over.wait(EVERY):
            note(self._pace.line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._bar.stop()


def clock(seconds: float) -> str:
    """A time as minutes and seconds, with hours if there are any.

    >>> clock(75), clock(7500)
    ('1:15', '2:05:00')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
