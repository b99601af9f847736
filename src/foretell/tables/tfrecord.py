"""The records of a TFRecord file, and the fields of a protobuf message, without TensorFlow.

A record is its length (8 bytes, little-endian), a checksum of the length (4), the data, and a
checksum of the data (4). A checksum is CRC-32C (Castagnoli), rotated by 15 bits and offset.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretell.errors import ForetellError

__all__ = ["crc32c", "fields", "masked", "records"]

Checksums = NDArray[np.uint32]

AT_ONCE = 4096  # records checked together: byte by byte in Python, many records per step
POLYNOMIAL = 0x82F63B78
MASK = 0xA282EAD8
HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")


def records(path: Path) -> Iterator[bytes]:
    """The data of every record of the file, in order, after verifying its checksums.

    Raises ForetellError for a missing, truncated or damaged file.
    """
    framed = _framed(path)
    while batch := list(islice(framed, AT_ONCE)):
        lengths, length_sums, data, data_sums, places = zip(*batch, strict=True)
        for messages, stated in ((lengths, length_sums), (data, data_sums)):
            wrong = np.flatnonzero(masked(crc32c(messages)) != np.array(stated))
            if wrong.size:
                raise ForetellError(
                    f"{path}: the record at byte {places[wrong[0]]} has a wrong checksum; the "
                    "file is damaged: download it again"
                )
        yield from data


def _framed(path: Path) -> Iterator[tuple[bytes, int, bytes, int, int]]:
    """For each record: length bytes, their checksum, data, its checksum, and position."""
    if not os.path.isfile(path):
        raise ForetellError(f"there is no file {path}; give the path of a .tfrecord file")
    size = path.stat().st_size
    with path.open("rb") as file:
        while (place := file.tell()) < size:
            header = file.read(HEADER.size)
            length, stated = HEADER.unpack(header) if len(header) == HEADER.size else (size, 0)
            if file.tell() + length + FOOTER.size > size:
                raise ForetellError(
                    f"{path} ends within the record at byte {place}; it is truncated or not a "
                    "TFRecord file: download it again"
                )
            data = file.read(length)
            yield header[:8], stated, data, FOOTER.unpack(file.read(FOOTER.size))[0], place


def crc32c(messages: Sequence[bytes]) -> Checksums:
    """The CRC-32C (RFC 3720, appendix B.4) of every message, processing all byte by byte.

    >>> [hex(value) for value in crc32c([b"123456789", b"", bytes(32)])]
    ['0xe3069283', '0x0', '0x8a9136aa']
    """
    lengths = np.array([len(message) for message in messages])
    order = np.argsort(-lengths, kind="stable")  # longest first: unfinished ones are in front
    longest = int(lengths.max(initial=0))
    padded = b"".join(messages[i].ljust(longest, b"\0") for i in order)
    columns = np.frombuffer(padded, np.uint8).reshape(len(messages), longest).T.copy()
    state = np.full(len(messages), 0xFFFFFFFF, np.uint32)
    going = np.searchsorted(-lengths[order], -np.arange(longest), side="left")
    for column, live in zip(columns, going, strict=True):
        state[:live] = TABLE[(state[:live] ^ column[:live]) & 0xFF] ^ (state[:live] >> 8)
    found = np.empty_like(state)
    found[order] = ~state
    return found


def _table() -> Checksums:
    """The lookup table of CRC-32C: the state after each single byte."""
    values = np.arange(256, dtype=np.int64)
    for _ in range(8):
        values = (values >> 1) ^ POLYNOMIAL * (values & 1)
    return values.astype(np.uint32)


TABLE = _table()


def masked(checksums: Checksums) -> Checksums:
    """The masked form in which TFRecord files store checksums."""
    wide = checksums.astype(np.uint64)
    return (((wide >> 15) | (wide << 17)) + MASK).astype(np.uint32)


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The number and value of each field of a protobuf message: integers, doubles, and bytes.

    Raises ForetellError if the bytes are not such a message.

    >>> list(fields(bytes([0x10, 0x96, 0x01, 0x0A, 0x02, 0x68, 0x69])))
    [(2, 150), (1, b'hi')]
    """
    place = 0
    try:
        while place < len(message):
            tag, place = _varint(message, place)
            kind = tag & 7
            value: int | float | bytes
            if kind == 0:
                value, place = _varint(message, place)
            elif kind == 1:
                (value,) = struct.unpack_from("<d", message, place)
                place += 8
            elif kind == 2:
                length, place = _varint(message, place)
                value = message[place : place + length]
                place += length
            else:
                raise IndexError(kind)
            yield tag >> 3, value
        if place > len(message):
            raise IndexError(place)
    except (IndexError, struct.error) as error:
        raise ForetellError(
            "a record does not contain a valid protobuf message; give the official file"
        ) from error


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """The integer at this position, encoded in seven bits per byte, and the position after it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
