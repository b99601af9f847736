"""The format of rows: lines of JSON with a checksum.

A line is a JSON object: `crc`, followed by the row as canonical JSON (sorted names, no spaces,
ASCII) without its opening brace. `crc` is the CRC-32 of the row, so that a changed byte is detected
even if the line is still valid JSON.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from foretell.errors import ForetellError

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


def row_line(body: str) -> bytes:
    """The line, without its end, for a row that is given as canonical JSON.

    >>> row_line('{"key":{"proxy":"snip"},"value":4.25}')
    b'{"crc":"41831abe","key":{"proxy":"snip"},"value":4.25}'
    """
    data = body.encode("ascii")
    return b'{"crc":"%08x",%b' % (zlib.crc32(data), data[1:])


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


def parse_log(content: bytes) -> tuple[list[bytes], list[str]]:
    """The valid lines of a log of rows, and a description of each damaged line.

    Only the last line may be incomplete, since a writer may have been killed.
    """
    *lines, end = content.split(b"\n")
    good: dict[str, bytes] = {}
    damaged: list[str] = []
    for number, line in enumerate([*lines, end] if parse_line(end) else lines, start=1):
        if (parsed := parse_line(line)) is None:
            damaged.append(f"line {number} is damaged")
        elif good.setdefault(parsed[0], line) != line:
            damaged.append(f"line {number} contradicts an earlier line")
    return list(good.values()), damaged


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
