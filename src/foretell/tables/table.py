"""A benchmark as a table: the roles of its columns, and the checksum of its content."""

import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from foretell.checks import as_instance
from foretell.errors import ForetellError, unknown_name

__all__ = ["Table", "content_checksum", "require_keys"]


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """The accuracies of a benchmark, one row per architecture, with the role of each column.

    `frame` is indexed by "arch": text that `make_space(space).parse` reads, or the name of a model
    if `space` is "models", or the settings of a network if it is "nds". Searches may select
    architectures by a `choosing` column (validation), whereas `reporting` columns (test) are only
    for evaluation; `cost` columns have seconds, parameters and the like. `repeats` maps a column to
    the columns of the single runs whose mean it is. Accuracies and errors are in percent; nan means
    not measured. `lower_is_better` lists the choosing and reporting columns in which lower values
    are better. The checksum is computed unless one is given, which must then be correct.

    Raises ForetellError for missing or duplicate keys, a column that is missing, not numeric or has
    two roles, and content that does not match the checksum.

    >>> frame = pd.DataFrame({"val": [70.0, 60.0], "test": [69.0, 61.0]}, ["000000", "111111"])
    >>> table = Table("mine", "nb201", frame, choosing=("val",), reporting=("test",))
    >>> table.choose("val").idxmax()
    '000000'
    >>> table.choose("test")
    Traceback (most recent call last):
    foretell.errors.ForetellError: table mine: 'test' is a reporting column and must not be used to
    choose; choose by val
    """

    name: str
    space: str
    frame: pd.DataFrame
    choosing: tuple[str, ...] = ()
    reporting: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    repeats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ""
    licence: str = "not stated"
    checksum: str = ""
    lower_is_better: tuple[str, ...] = ()
    from_file: bool = False
    """Whether it was read from a file; names of models in files must not execute code."""

    def __post_init__(self) -> None:
        """Raise ForetellError unless the requirements above are met."""
        frame = as_instance("frame", self.frame, pd.DataFrame, "a DataFrame")
        object.__setattr__(self, "frame", frame.rename_axis(index="arch"))
        require_keys(self.frame.index, f"table {self.name}")
        self._require_roles()
        self._require_numbers()
        checksum = content_checksum(self)
        if self.checksum and self.checksum != checksum:
            raise ForetellError(
                f"table {self.name}: its content does not match its checksum; import it again"
            )
        object.__setattr__(self, "checksum", checksum)

    def __repr__(self) -> str:
        """The name, the space and the size; the values would take pages."""
        return f"Table {self.name} of the space {self.space} with {len(self.frame):,} rows"

    def _repr_html_(self) -> str:
        """The first rows, for notebooks."""
        return f"<p>{html.escape(repr(self))}</p>\n{self.frame.head().to_html()}"

    @property
    def roles(self) -> dict[str, str]:
        """The role of each column in order: choosing, reporting, cost, repeat, or ""."""
        named = {"choosing": self.choosing, "reporting": self.reporting, "cost": self.cost}
        known = {column: role for role, columns in named.items() for column in columns}
        known |= {run: "repeat" for runs in self.repeats.values() for run in runs}
        return {str(column): known.get(str(column), "") for column in self.frame.columns}

    def require_accuracies(self, columns: Iterable[str]) -> None:
        """Raise UnknownName for a column that is neither a choosing nor a reporting one."""
        known = (*self.reporting, *self.choosing)
        for column in columns:
            if column not in known:
                said = f"table {self.name} has no accuracy {column!r}"
                raise unknown_name("column", column, known, said)

    def choose(self, column: str) -> "pd.Series[float]":
        """The values of a choosing column. Raises ForetellError for any other column."""
        if column in self.reporting:
            raise ForetellError(
                f"table {self.name}: {column!r} is a reporting column and must not be used to "
                f"choose; choose by {_listed(self.choosing)}"
            )
        return self._values(column, self.choosing, "choose by")

    def report(self, column: str) -> "pd.Series[float]":
        """The values of a reporting column. Raises ForetellError for any other column."""
        if column in self.choosing:
            raise ForetellError(
                f"table {self.name}: {column!r} is a choosing column, which is too optimistic to "
                f"report; report {_listed(self.reporting)}"
            )
        return self._values(column, self.reporting, "report")

    def cost_of(self, column: str) -> "pd.Series[float]":
        """The values of a cost column. Raises ForetellError for any other column."""
        return self._values(column, self.cost, "use as a cost")

    def _values(self, column: str, known: tuple[str, ...], verb: str) -> "pd.Series[float]":
        if column not in known:
            said = f"table {self.name} has no column {column!r} to {verb}"
            raise unknown_name("column", column, known, said)
        return self.frame[column].astype(float)

    def _require_roles(self) -> None:
        used: dict[str, str] = {}
        for role in ("choosing", "reporting", "cost"):
            for column in getattr(self, role):
                if column in used:
                    raise ForetellError(
                        f"table {self.name}: column {column!r} has the roles {used[column]} and "
                        f"{role}; give it one role"
                    )
                used[column] = role
        if not used:
            raise ForetellError(
                f"table {self.name} has no choosing, reporting or cost column; name one"
            )
        if set(self.repeats) - set(used) or set(self.lower_is_better) - set(used):
            odd = sorted((set(self.repeats) | set(self.lower_is_better)) - set(used))
            said = f"table {self.name}: {odd[0]!r} has no role"
            raise unknown_name("column", odd[0], used, said)
        if runs := sorted({run for runs in self.repeats.values() for run in runs} & set(used)):
            raise ForetellError(
                f"table {self.name}: column {runs[0]!r} has the role {used[runs[0]]} and is also a "
                "repeat; give it one role"
            )

    def _require_numbers(self) -> None:
        if not self.frame.columns.is_unique:
            twice = self.frame.columns[self.frame.columns.duplicated()][0]
            raise ForetellError(f"table {self.name} has two columns called {twice!r}; rename one")
        runs = (run for runs in self.repeats.values() for run in runs)
        for column in (*self.choosing, *self.reporting, *self.cost, *runs):
            if column not in self.frame:
                said = f"table {self.name} has no column {column!r}"
                raise unknown_name("column", column, self.frame.columns, said)
            values = self.frame[column]
            if values.dtype.kind not in "iuf":
                raise ForetellError(
                    f"table {self.name}: column {column!r} contains {_example(values)}; expected "
                    "numbers in a column with a role"
                )
            if not np.isfinite(values.to_numpy()).any() or np.isinf(values.to_numpy()).any():
                raise ForetellError(
                    f"table {self.name}: column {column!r} has "
                    f"{'an infinite value' if np.isinf(values.to_numpy()).any() else 'no number'}; "
                    f"leave it out or correct it"
                )


def require_keys(keys: "pd.Index[Any]", what: str) -> None:
    """Raise ForetellError unless every row has a unique key that is text."""
    if len(keys) == 0:
        raise ForetellError(f"{what} has no rows; expected one per architecture")
    missing = [i for i, key in enumerate(keys) if not isinstance(key, str) or not key.strip()]
    if missing:
        raise ForetellError(
            f"{what}: {len(missing)} of {len(keys)} rows have no key, the first is row "
            f"{missing[0]}; every row needs the text of its architecture"
        )
    if not keys.is_unique:
        twice = keys[keys.duplicated()]
        raise ForetellError(
            f"{what}: {len(twice)} rows repeat a key, the first is {_short(twice[0])}; "
            "keep one row per architecture"
        )


def content_checksum(table: Table) -> str:
    """The SHA-256 of names, roles, keys and values; independent of the compression of the file.

    It covers everything in a table except the checksum itself. Integers are hashed as 64-bit
    integers, other numbers as 64-bit floats with a single nan, and everything else as JSON.
    """
    digest = hashlib.sha256(_as_json(about(table)))
    digest.update(_as_json(list(table.frame.index)))
    for column in table.frame.columns:
        values = table.frame[column]
        digest.update(_as_json(str(column)))
        if values.dtype.kind in "iu":
            digest.update(values.to_numpy().astype("<i8").tobytes())
        elif values.dtype.kind == "f":
            floats = values.to_numpy().astype("<f8")
            digest.update(np.where(np.isnan(floats), np.nan, floats).tobytes())
        else:
            digest.update(_as_json([None if pd.isna(value) else value for value in values]))
    return digest.hexdigest()


def about(table: Table) -> dict[str, Any]:
    """The metadata of a table except its content and checksum."""
    return {
        "name": table.name,
        "space": table.space,
        "choosing": list(table.choosing),
        "reporting": list(table.reporting),
        "cost": list(table.cost),
        "repeats": {column: list(runs) for column, runs in table.repeats.items()},
        "lower_is_better": list(table.lower_is_better),
        "source": table.source,
        "licence": table.licence,
    }


def _as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(columns) or "nothing, since there is no such column"


def _example(values: "pd.Series[Any]") -> str:
    first = next((value for value in values if not pd.isna(value)), None)
    return "nothing" if first is None else _short(str(first))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
