"""The log of rows: format its lines, and parse and verify a file of them.

A line is a JSON object: `crc`, followed by the row as canonical JSON (sorted names, no spaces,
ASCII) without its opening brace. `crc` is the CRC-32 of the row, so that a changed byte is detected
even if the line is still valid JSON.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError
from foretell.files import read_file

Row = Mapping[str, Any]
"""`{"key": {...}, ...values}`; it must not be changed after it was added to a store."""

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Encodes to canonical JSON, in which equal values have equal texts."""


def refuse(constant: str) -> None:
    """Raise ValueError for a constant, such as NaN, that Python accepts but JSON does not."""
    raise ValueError(f"{constant} is not JSON")


decoder = json.JSONDecoder(parse_constant=refuse)


KEY = '{"key":'
"""The beginning of any row without a field whose name sorts before `key`."""


@dataclass(frozen=True)
class Damage:
    """A line that is damaged."""

    number: int  # from 1
    line: bytes
    why: str


@dataclass(frozen=True)
class Log:
    """The content of a file of rows: valid rows and damaged lines."""

    rows: dict[str, Row]  # by canonical key, in the order of the file
    text: bytes  # the lines of these rows and nothing else
    damaged: list[Damage]
    torn: int  # 1 if the last line is incomplete, otherwise 0
    clean: bool  # whether the file is `text`, byte for byte


def read_log(path: Path) -> Log:
    """The content of the file; empty if it does not exist.

    Raises ForetellError if it cannot be read.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise ForetellError(f"cannot read {path}: {error.strerror}; check the folder") from None
    *lines, end = content.split(b"\n")
    if parse_line(end) is not None:  # complete except for its newline
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
    r"""The line for a row that is given as canonical JSON.

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
        key, end = decoder.raw_decode(body, len(KEY))  # the key is in canonical form
        values = decoder.decode("{" + body[end + 1 :]) if body[end] == "," else {}
        if not isinstance(key, dict) or (body[end:] != "}" and not values):
            return None
        return body[len(KEY) : end], {"key": key, **values}
    except (ValueError, KeyError, IndexError, RecursionError):
        return None


def checked(row: Row) -> tuple[str, str]:
    """The key of the row and the row, both as canonical JSON.

    Raises ForetellError if there is no key, or if the row is not plain JSON.
    """
    key = row.get("key")
    if not isinstance(key, Mapping) or "crc" in row:
        raise ForetellError(
            f"the row has the fields {sorted(row)}; expected {{'key': {{...}}, ...values}} without "
            "'crc'"
        )
    try:
        return canonical(key), canonical(row)
    except (TypeError, ValueError) as error:
        raise ForetellError(
            f"the row of {key} is not plain JSON ({error}); "
            "for a number that is not finite, write None, and the reason as 'why'"
        ) from None
