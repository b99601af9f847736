"""The lines of a log of rows: how one is written, and what a file of them holds.

A line is a JSON object: `crc`, then the row as canonical JSON (sorted names, no spaces, ASCII)
without its opening brace. `crc` is the CRC-32 of that row, so a changed byte is noticed even
where the line is still valid JSON.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError

Row = Mapping[str, Any]
"""`{"key": {...}, ...values}`; not to be changed once it is in a store."""

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""The one JSON text of a value: equal values, equal texts."""


def refuse(constant: str) -> None:
    """Raise ValueError for what Python reads and JSON does not have."""
    raise ValueError(f"{constant} is no JSON")


decoder = json.JSONDecoder(parse_constant=refuse)


KEY = '{"key":'
"""Begins a row with no field whose name sorts before."""


@dataclass(frozen=True)
class Damage:
    """A line that cannot be believed."""

    number: int  # from 1
    line: bytes
    why: str


@dataclass(frozen=True)
class Log:
    """What a file of rows holds, good and bad."""

    rows: dict[str, Row]  # by canonical key, in the order of the file
    text: bytes  # the lines of these rows and nothing else
    damaged: list[Damage]
    torn: int  # 1 if the file ends within a line, else 0
    clean: bool  # the file is `text`, byte for byte


def read_log(path: Path) -> Log:
    """What the file holds; no file is no rows. Raises ForetellError if it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise ForetellError(f"cannot read {path}: {error.strerror}; check the folder") from None
    *lines, end = content.split(b"\n")
    if parse_line(end) is not None:  # whole, only its newline is missing
        lines, end = [*lines, end], b""
    rows: dict[str, Row] = {}
    good: list[bytes] = []
    damaged: list[Damage] = []
    for number, line in enumerate(lines, start=1):
        if (parsed := parse_line(line)) is None:
            damaged.append(Damage(number, line, "is damaged"))
            continue
        key, row = parsed
        if key not in rows:
            rows[key] = row
            good.append(line + b"\n")
        elif canonical(rows[key]) != canonical(row):
            damaged.append(Damage(number, line, "contradicts an earlier line"))
    text = b"".join(good)
    return Log(rows, text, damaged, int(end != b""), text == content)


def row_line(body: str) -> bytes:
    r"""The line of a row given as canonical JSON.

    >>> row_line('{"key":{"proxy":"snip"},"value":4.25}')
    b'{"crc":"41831abe","key":{"proxy":"snip"},"value":4.25}\n'
    """
    data = body.encode("ascii")
    return b'{"crc":"%08x",%b\n' % (zlib.crc32(data), data[1:])


def parse_line(line: bytes) -> tuple[str, Row] | None:
    """The canonical key and the row of a line, or None if `row_line` did not write it."""
    if line[:18] != b'{"crc":"%08x",' % zlib.crc32(b"{" + line[18:]):
        return None
    try:
        body = "{" + line[18:].decode("ascii")
        if not body.startswith(KEY):
            row: dict[str, Any] = decoder.decode(body)
            return (canonical(row["key"]), row) if isinstance(row["key"], dict) else None
        key, end = decoder.raw_decode(body, len(KEY))  # it is canonical as it stands
        values = decoder.decode("{" + body[end + 1 :]) if body[end] == "," else {}
        if not isinstance(key, dict) or (body[end:] != "}" and not values):
            return None
        return body[len(KEY) : end], {"key": key, **values}
    except (ValueError, KeyError, IndexError, RecursionError):
        return None


def checked(row: Row) -> tuple[str, str]:
    """The row's key and the row, both as canonical JSON.

    Raises ForetellError if there is no key or something in it is not plain JSON.
    """
    key = row.get("key")
    if not isinstance(key, Mapping) or "crc" in row:
        raise ForetellError(
            f"a row is {{'key': {{...}}, ...values}} without 'crc'; got the fields {sorted(row)}"
        )
    try:
        return canonical(key), canonical(row)
    except (TypeError, ValueError) as error:
        raise ForetellError(
            f"the row of {key} is not plain JSON ({error}); "
            "write None, and the reason as 'why', for what is not a finite number"
        ) from None
