"""The types of option values, each of which parses and checks a text."""

import math
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from foretell.errors import MOST, did_you_mean

__all__ = ["Limits", "Listed", "Names", "Number", "OneOf", "Whole", "quoted"]


def quoted(value: object) -> str:
    """The value as quoted in error messages; a long one is shortened in the middle.

    >>> quoted("9" * 100)
    "'9999999999999999999999...99999999999999999999999'"
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = 50
    return short.repr(value)


class Whole(click.ParamType[int]):
    """An integer from `least` to `most`.

    >>> Whole(1).convert("12", None, None)
    12
    """

    name = "integer"

    def __init__(self, least: int = 1, most: int = MOST) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The integer. Fails for anything else, and for an integer out of range."""
        try:
            number = int(value)
        except ValueError:
            self.fail(f"is {quoted(value)}; give a whole number", param, ctx)
        if number < self.least:
            wanted = f"a whole number of at least {self.least}"
            self.fail(f"is {quoted(number)}; give {wanted}", param, ctx)
        if number > self.most:
            self.fail(f"is {quoted(number)}; give at most {self.most}", param, ctx)
        return number


class Number(click.ParamType[float]):
    """A finite number of at least `least`.

    >>> Number(0).convert("1e5", None, None)
    100000.0
    """

    name = "number"

    def __init__(self, least: float = -math.inf) -> None:
        self.least = least

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number. Fails for anything else, nan and infinity."""
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"is {quoted(value)}; give a finite number", param, ctx)
        if number < self.least:
            self.fail(f"is {quoted(value)}; give at least {self.least:g}", param, ctx)
        return number


class OneOf(click.Choice[str]):
    """One of a few words."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """The message for an invalid choice: the choices, or the nearest if there are many."""
        few = " or ".join(self.choices)
        return f"is {quoted(value)}; " + (
            f"give {few}" if len(self.choices) <= 4 else did_you_mean(str(value), self.choices)
        )


class Listed(click.ParamType[str]):
    """One of the names that a function returns, for names whose module is slow to import.

    >>> Listed("size", lambda: ("params", "flops")).convert("flops", None, None)
    'flops'
    """

    def __init__(self, name: str, known: Callable[[], Collection[str]]) -> None:
        self.name, self.known = name, known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Fails for one that is not known."""
        if value not in self.known():
            near = did_you_mean(str(value), self.known())
            self.fail(f"is {quoted(value)}; {near}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin with the text so far."""
        return [CompletionItem(name) for name in self.known() if name.startswith(incomplete)]


class Names(click.ParamType[tuple[str, ...]]):
    """Names separated by commas.

    >>> Names().convert("snip, synflow", None, None)
    ('snip', 'synflow')
    """

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, without surrounding blanks, empty names and duplicates.

        Fails for text that has no names, unless it is empty.
        """
        parts: Iterable[str] = value.split(",") if isinstance(value, str) else value
        names = tuple(dict.fromkeys(name for part in parts if (name := part.strip())))
        if value and not names:
            self.fail(f"is {quoted(value)}; give names separated by commas", param, ctx)
        return names


class Limits(click.ParamType[Mapping[str, float]]):
    """The maximum of each cost: `COST=NUMBER,COST=NUMBER`.

    >>> Limits().convert("params=1e5,nb201-hw:energy=20", None, None)
    {'params': 100000.0, 'nb201-hw:energy': 20.0}
    """

    name = "limits"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, float]:
        """The limits by the name of the cost. Fails for anything but COST=NUMBER."""
        if isinstance(value, Mapping):
            return value
        limits: dict[str, float] = {}
        for part in Names().convert(value, param, ctx):
            name, _, number = part.rpartition("=")
            if not name:
                wanted = "COST=NUMBER, such as params=1e5"
                self.fail(f"has the part {quoted(part)}; write {wanted}", param, ctx)
            if name in limits:
                self.fail(f"limits {name} twice; give one number", param, ctx)
            limits[name] = Number(0).convert(number, param, ctx)
        return limits
