"""The progress of a long call: the event that every `progress` callback receives."""

import importlib
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from foretell.checks import as_function, optional
from foretell.errors import ForetellError

__all__ = ["Progress", "ProgressCallback", "Tally", "as_progress"]


@dataclass(frozen=True)
class Progress:
    """The event that one unit of work has finished.

    >>> Progress("score", 3, 60, 1.5, name="nb201:333013").done
    3
    """

    what: str
    """The kind of work: "score", "train", "search", "retrain", "import" or "fetch"."""
    done: int
    """The number of finished units of this kind, including this one."""
    total: int | None
    """The total number of units; None if unknown."""
    seconds: float
    """The seconds since the start of the call."""
    name: str = ""
    """The name of the finished unit: a model, an architecture, an epoch, a search."""
    cached: bool = False
    """Whether the result was read from the run folder instead of computed."""


T = TypeVar("T")

NAME = 40
"""The maximum number of characters of a name beside a bar."""

PAUSE = 0.1
"""The minimum number of seconds between two events of a fast loop."""

ProgressCallback = Callable[[Progress], object]
"""Called after each finished unit of work; return values are ignored, exceptions propagate."""


class Bars:
    """A callback that draws a bar for each kind of work by tqdm, in terminals and notebooks."""

    def __init__(self) -> None:
        """Raises ForetellError without tqdm."""
        try:
            self._new = importlib.import_module("tqdm.auto").tqdm
        except ImportError as error:
            raise ForetellError(
                f"progress is True, and tqdm, which draws the bars, cannot be imported ({error}); "
                "pip install tqdm, or give a function of a Progress"
            ) from error
        self._bars: dict[str, Any] = {}

    def __call__(self, event: Progress) -> None:
        """Show one finished unit of work; a bar ends with its last unit."""
        if event.what not in self._bars:
            self._bars[event.what] = self._new(total=event.total, desc=event.what)
        bar = self._bars[event.what]
        bar.total = event.total
        bar.set_postfix_str(event.name[:NAME], refresh=False)
        bar.update(event.done - bar.n)
        if event.done == event.total:
            bar.close()
            del self._bars[event.what]


def as_progress(progress: object) -> ProgressCallback | None:
    """The callback itself; a `Bars` for True, and None for False.

    Raises ForetellError for anything else, and for True without tqdm.
    """
    if isinstance(progress, bool):
        return Bars() if progress else None
    return optional(as_function)("progress", progress, "True, or a function of a Progress")


class Tally:
    """Counts the finished units of each kind of work, and reports each unit as a `Progress`.

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
        self,
        callback: ProgressCallback | bool | None,
        totals: Mapping[str, int | None] | None = None,
    ) -> None:
        """`totals` maps kinds of work to their number of units, if known.

        Raises ForetellError for a callback that cannot be called.
        """
        self._callback = as_progress(callback)
        self._totals = dict(totals or {})
        self._done: dict[str, int] = {}
        self._counted: set[Hashable] = set()
        self._start = time.perf_counter()

    def add_once(self, unit: Hashable, what: str, name: str, *, cached: bool) -> None:
        """Count a finished unit, unless it has been counted before."""
        if unit not in self._counted:
            self._counted.add(unit)
            self.add(what, name, cached=cached)

    def add(self, what: str, name: str = "", *, cached: bool = False, count: int = 1) -> None:
        """Count a finished unit; a total that turns out to be too small is increased."""
        done = self._done[what] = self._done.get(what, 0) + count
        total = self._totals.get(what)
        total = None if total is None else max(total, done)
        if self._callback is not None:
            seconds = time.perf_counter() - self._start
            self._callback(Progress(what, done, total, seconds, name, cached))

    def expect(self, what: str, more: int) -> None:
        """Increase the total number of units, if it is known."""
        total = self._totals.get(what)
        self._totals[what] = None if total is None else total + more

    def over(self, what: str, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Iterate over the items; each one is counted when the next one is requested.

        To keep fast loops fast, items that finish within a tenth of a second are counted together.
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
