"""A progress bar with the time that is left, on a terminal; nothing elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from foretell.cli.interrupt import raise_if_interrupted
from foretell.progress import Progress

__all__ = ["SearchProgress"]


class SearchProgress:
    """Counts ticks against what is to come; each unit of work has its own measured pace."""

    def __init__(self, totals: Mapping[str, int], console: Console) -> None:
        """`totals` says how many ticks of each unit the whole job has."""
        self._left = dict(totals)
        self._total = sum(totals.values())
        self._spent: dict[str, float] = {}
        self._done: dict[str, int] = {}
        self._last = time.perf_counter()
        self._bar = Bar(
            TextColumn("{task.fields[doing]}", style="bold"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[left]}", style="cyan"),
            TextColumn("{task.fields[label]}", style="dim"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0, doing="starting", left="", label="")

    def __call__(self, event: Progress) -> None:
        """Take note of one finished unit of work."""
        raise_if_interrupted()
        now, kind = time.perf_counter(), event.what
        self._left[kind] = max(self._left[kind] - 1, 0)
        if not event.cached:
            self._spent[kind] = self._spent.get(kind, 0.0) + now - self._last
            self._done[kind] = self._done.get(kind, 0) + 1
        self._last = now
        seconds = self.seconds_left()
        spent = sum(self._spent.values())
        self._bar.update(
            self._task,
            completed=spent / (spent + seconds) if spent else 0,
            doing={"score": "scoring", "train": "training"}[kind],
            left=f"{clock(seconds)} left",
            label=event.name,
        )

    def seconds_left(self) -> float:
        """The ticks that are left at the pace of their kind, or of the other kind so far."""
        paces = {unit: self._spent[unit] / self._done[unit] for unit in self._done}
        known = max(paces.values(), default=0.0)
        return sum(left * paces.get(unit, known) for unit, left in self._left.items())

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75)
    '1:15'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
