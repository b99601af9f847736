"""How far a long call has come: the one event that every `progress` callback is given."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Progress", "ProgressCallback", "Tally"]


@dataclass(frozen=True)
class Progress:
    """One unit of work has finished.

    >>> Progress("score", 3, 60, 1.5, name="nb201:333013").done
    3
    """

    what: str
    """What is being done: "score", "train", "search", "retrain" or "import"."""
    done: int
    """How many units of it have finished, this one included."""
    total: int | None
    """How many there will be; None where that is not known."""
    seconds: float
    """Seconds since the call began."""
    name: str = ""
    """The unit that has just finished: a model, an architecture, an epoch, a search."""
    cached: bool = False
    """Whether its result was read from the run folder instead of computed."""


T = TypeVar("T")

PAUSE = 0.1
"""Seconds between two events of a fast loop."""

ProgressCallback = Callable[[Progress], object]
"""Called after each finished unit of work; what it returns is ignored, what it raises is raised."""


class Tally:
    """Counts the finished units of each kind of work and passes each on as a `Progress`.

    >>> tally = Tally(lambda event: print(event.what, event.done, event.total), {"score": 2})
    >>> tally.add("score")
    score 1 2
    >>> tally.add("train")
    train 1 None
    >>> sum(tally.over("import", [3, 4], 2))
    import 1 2
    import 2 2
    7
    """

    def __init__(
        self, callback: ProgressCallback | None, totals: Mapping[str, int | None] | None = None
    ) -> None:
        """`totals` gives how many units of a kind there will be, where that is known."""
        self._callback, self._totals = callback, dict(totals or {})
        self._done: dict[str, int] = {}
        self._start = time.perf_counter()

    def add(self, what: str, name: str = "", *, cached: bool = False, count: int = 1) -> None:
        """Count one more finished unit; a total that turns out too small is raised with it."""
        done = self._done[what] = self._done.get(what, 0) + count
        total = self._totals.get(what)
        total = None if total is None else max(total, done)
        if self._callback is not None:
            seconds = time.perf_counter() - self._start
            self._callback(Progress(what, done, total, seconds, name, cached))

    def over(self, what: str, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """The items, each counted once the next one is asked for.

        Made for loops of millions: several that finish within a tenth of a second are counted
        together.
        """
        self._totals[what] = total
        waiting, last = 0, -PAUSE
        for item in items:
            yield item
            waiting += 1
            if (now := time.perf_counter()) - last >= PAUSE:
                self.add(what, count=waiting)
                waiting, last = 0, now
        if waiting:
            self.add(what, count=waiting)
