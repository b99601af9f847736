"""Select the rows that were computed with the current version of the user's code.

A row whose values depend on code of the user (a proxy, a loss, a space, a model's file) has the
digests of that code in its key, by names such as "proxy mine". Code of foretell has no digest, so
the keys of all other rows do not change. When a run is continued with another version of the code,
a `CodeRow` records the new digests. From then on, rows of other versions are left out.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from foretell.engine.plan import Plan
from foretell.losses import Loss, loss_name
from foretell.proxies import PROXIES
from foretell.rankings import scores_for
from foretell.runs.rowlog import Row, canonical
from foretell.runs.rows import SEARCH, CodeRow, add, depends_on, is_coded, key_code, rows_of
from foretell.runs.store import Store
from foretell.spaces import Arch, Coded, Sourced, Space
from foretell.user_source import source_digest

__all__ = ["Code", "code_about", "code_in", "current", "record_code"]


@dataclass(frozen=True)
class Code:
    """The code that the results of a run depend on: its digests by name, empty for foretell's.

    The networks of a zoo have digests of their own instead of one for the space.
    """

    digests: Mapping[str, str]

    @classmethod
    def of(cls, space: Space, plan: Plan, loss: str | Loss) -> "Code":
        """The code as it is now."""
        digests = {f"proxy {one.name}": source_digest(one.function) for one in plan.proxies}
        digests[f"loss {loss_name(loss)}"] = "" if isinstance(loss, str) else source_digest(loss)
        return cls({**digests, **cls.of_space(space).digests})

    @classmethod
    def of_space(cls, space: Space) -> "Code":
        """The code of the space only."""
        return cls(
            {} if isinstance(space, Sourced) else {f"space {space.name}": space_digest(space)}
        )

    def and_also(self, digests: Mapping[str, str]) -> "Code":
        """This code together with the other code that a search depends on."""
        return Code({**self.digests, **digests})

    def of_network(self, space: Space, arch: Arch) -> dict[str, str]:
        """The digests that a network depends on; empty if there are none."""
        if isinstance(space, Sourced):
            return known({f"model {space.format(arch)}": space.source(arch)})
        return self.named(f"space {space.name}")

    @staticmethod
    def of_models(space: Space, archs: Iterable[Arch]) -> dict[str, str]:
        """The digests of the models of a zoo by name; those of foretell's models are empty."""
        if not isinstance(space, Sourced):
            return {}
        return {f"model {space.format(arch)}": space.source(arch) for arch in archs}

    def of_score(self, proxy: str, loss: str | Loss, space: Space, arch: Arch) -> dict[str, str]:
        """The digests that the score of a network depends on; empty if there are none."""
        own = self.named(f"proxy {proxy}", f"loss {loss_name(loss)}")
        return own | self.of_network(space, arch)

    def of_search(self, by: str) -> dict[str, str]:
        """One digest of all code that the choices of a search by `by` depend on, if any."""
        others = (name for name in self.digests if not name.startswith("proxy "))
        needed = scores_for(by, [name.removeprefix("proxy ") for name in self.digests])
        parts = self.named(*(f"proxy {name}" for name in needed), *others)
        if f"proxy {by}" in parts:
            parts["higher is better"] = str(PROXIES[by].higher_is_better)
        digest = hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]
        return {SEARCH: digest} if parts else {}

    def named(self, *names: str) -> dict[str, str]:
        """The digests of these names that are not empty."""
        return known({name: self.digests.get(name, "") for name in names})


def known(digests: Mapping[str, str]) -> dict[str, str]:
    """The digests that are not empty."""
    return {name: digest for name, digest in digests.items() if digest}


def space_digest(space: Space) -> str:
    """The digest of the code that builds the networks of a space."""
    if isinstance(space, Coded):
        return source_digest(*space.code())
    attributes = vars(space) if hasattr(space, "__dict__") else {}
    return source_digest(type(space), *(one for one in attributes.values() if callable(one)))


def code_about(space: Space) -> dict[str, str]:
    """The digest of a space's code in the description of a network; empty if it is foretell's."""
    digest = space_digest(space)
    return {"code": digest} if digest else {}


def record_code(store: Store, now: Mapping[str, str]) -> None:
    """Record the digests of the code of a run that is opened, including the empty ones.

    `store.notice` says how many rows of other versions are left out.
    """
    recorded = CodeRow(0).key() in store
    if not (any(now.values()) or recorded or (store.notice and any(map(is_coded, store)))):
        return
    earlier = rows_of(CodeRow, store)
    before = {name: digest for row in earlier for name, digest in row.code.items()}
    changed = {name: digest for name, digest in now.items() if digest != before.get(name, "")}
    left_out = Counter(
        name for row in store if (name := outdated(row, now)) is not None and name != SEARCH
    )
    if changed or not recorded:
        add(store, CodeRow(len(earlier), changed))
    if left_out:
        store.tell(f"left out {in_words(left_out)}")


def in_words(left_out: Mapping[str, int]) -> str:
    """A sentence on the rows that are left out.

    >>> in_words({"proxy mine": 12, "space nets.py:mlp": 1})
    '12 rows of another version of proxy mine, and 1 row of another version of space nets.py:mlp'
    """
    parts = [
        f"{count} row{'s' if count > 1 else ''} of another version of {name}"
        for name, count in left_out.items()
    ]
    return ", and ".join(parts)


def outdated(row: Row, now: Mapping[str, str]) -> str | None:
    """The name of the first code whose version in the row differs from the current one, or None."""
    digests = key_code(row)
    for name in depends_on(row):
        if name in now and digests.get(name, "") != now[name]:
            return name
    return None


def code_in(rows: Iterable[Row]) -> dict[str, str]:
    """The digests of the current code according to the rows of a run.

    The digests that were recorded last; if a name was never recorded, the one of the newest row.
    """
    found: dict[str, str] = {}
    for row in rows:
        digests = key_code(row)
        found |= {name: digests.get(name, "") for name in depends_on(row)}
    for record in rows_of(CodeRow, rows):
        found |= record.code
    return found


class Rows(Protocol):
    """The rows of a run, which can be iterated several times, and looked up by their keys."""

    def __iter__(self) -> Iterator[Row]: ...
    def get(self, key: Mapping[str, Any]) -> Row | None:
        """The row with this key, or None."""


@dataclass(frozen=True)
class Current:
    """Those of the rows that are of the current version of the code."""

    rows: Rows
    digests: Mapping[str, str]

    def __iter__(self) -> Iterator[Row]:
        return (row for row in self.rows if outdated(row, self.digests) is None)


def current(rows: Rows) -> tuple[Iterable[Row], str]:
    """The rows of the current version of the code, and a notice if others are left out."""
    if rows.get(CodeRow(0).key()) is None:
        return rows, ""
    now = code_in(rows)
    old = (name for row in rows if (name := outdated(row, now)) is not None and name != SEARCH)
    left_out = Counter(old)
    return Current(rows, now), f"left out {in_words(left_out)}" if left_out else ""
