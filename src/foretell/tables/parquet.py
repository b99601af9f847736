"""The file format of tables: a Parquet file with the metadata of the table as JSON.

docs/tables.md describes it. Only this file depends on Parquet.
"""

import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.errors import ForetellError, shown
from foretell.files import new_folder, write_atomically
from foretell.names import extra
from foretell.tables.table import Table, about

__all__ = ["read_about", "read_parquet_file", "read_table_file", "table_bytes", "write_table"]

METADATA = b"foretell"
FORMAT = 1
TUPLES = ("choosing", "reporting", "cost", "lower_is_better")


def write_table(table: Table, path: str | Path) -> None:
    """Write the table to a Parquet file atomically.

    Raises ForetellError if it cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> frame = pd.DataFrame({"test": [9.5]}, index=["000000"])
    >>> table = Table("mine", "nb201", frame, reporting=("test",))
    >>> with TemporaryDirectory() as folder:
    ...     write_table(table, f"{folder}/mine.parquet")
    ...     read_table_file(Path(folder, "mine.parquet")).checksum == table.checksum
    True
    """
    content = table_bytes(table)
    path = Path(path)
    try:
        with new_folder(path.parent):
            write_atomically(path, content)
    except (OSError, ForetellError) as error:
        reason = error if isinstance(error, OSError) else error.__cause__
        raise ForetellError(
            f"cannot write {path}: {getattr(reason, 'strerror', reason)}; free some space or set "
            "FORETELL_DATA to another folder"
        ) from error


def table_bytes(table: Table) -> bytes:
    """The table as the content of a Parquet file."""
    arrow, parquet = extra("pyarrow", "studies"), extra("pyarrow.parquet", "studies")
    content = arrow.Table.from_pandas(table.frame, preserve_index=True)
    said = {"format": FORMAT, **about(table), "checksum": table.checksum}
    metadata = {**(content.schema.metadata or {}), METADATA: json.dumps(said).encode()}
    buffer = io.BytesIO()
    parquet.write_table(content.replace_schema_metadata(metadata), buffer, compression="zstd")
    return buffer.getvalue()


def read_table_file(path: Path) -> Table:
    """The table in a Parquet file written by `write_table`.

    Raises ForetellError for a missing or truncated file, another kind of Parquet file, or content
    that does not match its checksum.
    """
    said = read_about(path)
    del said["rows"]
    frame = read_parquet_file(path)
    if frame.index.name != "arch":
        raise ForetellError(f"{path} has no index called 'arch'; import it again")
    return Table(frame=frame, from_file=True, **said)


def read_about(path: Path) -> dict[str, Any]:
    """The metadata of the table in this file and its number of rows, without reading the rows."""
    parquet = extra("pyarrow.parquet", "studies")
    file = _opened(path, parquet.read_metadata)
    try:
        said = json.loads((file.metadata or {})[METADATA])
        number = said["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ForetellError(
            f"{path} is a Parquet file but not a table of foretell; convert it with "
            "`foretell data import`"
        ) from error
    if number != FORMAT:
        raise ForetellError(
            f"{path} has format {shown(number)}, and this version reads format {FORMAT}; import it "
            "again"
        )
    return {**_arguments(said, path), "rows": file.num_rows}


def read_parquet_file(path: Path) -> pd.DataFrame:
    """Any Parquet file as a frame. Raises ForetellError if it is missing, truncated or invalid."""
    parquet = extra("pyarrow.parquet", "studies")
    frame: pd.DataFrame = _opened(path, lambda file: parquet.read_table(file).to_pandas())
    return frame


def _opened(path: Path, read: Any) -> Any:
    """The result of `read` for the file; its errors become one-line messages."""
    if not os.path.isfile(path):
        raise ForetellError(f"there is no file {path}; give the path of a Parquet file")
    try:
        return read(str(path))
    except MemoryError:
        raise
    except Exception as error:  # the metadata of a damaged file can make pandas raise anything
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ForetellError(
            f"{path} cannot be read as Parquet ({reason}); it is truncated or of another kind: "
            "download or import it again"
        ) from error


def _arguments(said: dict[str, Any], path: Path) -> dict[str, Any]:
    """The metadata as arguments of `Table`."""
    try:
        return {
            **{name: str(said[name]) for name in ("name", "space", "source", "licence")},
            **{name: tuple(map(str, said[name])) for name in TUPLES},
            "repeats": {column: tuple(map(str, runs)) for column, runs in said["repeats"].items()},
            "checksum": str(said["checksum"]),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ForetellError(f"the metadata of {path} lacks {error}; import it again") from error
