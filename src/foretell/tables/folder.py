"""The folder of imported tables: FORETELL_DATA, or the platform's folder for user data."""

import os
import re
from pathlib import Path

from foretell.checks import as_path, as_text, optional
from foretell.errors import ForetellError, unknown_name
from foretell.names import extra
from foretell.tables.parquet import read_table_file
from foretell.tables.table import Table

__all__ = ["data_folder", "read_table", "stored", "table_path"]


def data_folder() -> Path:
    """The folder of tables: FORETELL_DATA, or else the platform's folder for user data."""
    named = os.environ.get("FORETELL_DATA")
    if named:
        return Path(os.path.expanduser(named))
    return Path(extra("platformdirs", "studies").user_data_path("foretell"))


def table_path(name: str) -> Path:
    """The file of the table with this name. Raises ForetellError for an invalid name.

    >>> table_path("nb201").name
    'nb201.parquet'
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise ForetellError(
            f"{name[:60]!r} is not a valid table name; use letters, digits, dots, dashes and "
            "underscores, at most 200"
        )
    return data_folder() / f"{name}.parquet"


def stored() -> dict[str, Path]:
    """The file of every table in the folder by name, sorted."""
    return {path.stem: path for path in sorted(data_folder().glob("[!.]*.parquet"))}


def read_table(name_or_path: str | Path, *, space: str | None = None) -> Table:
    """Read the imported table with this name, or the table at this path.

    A string that ends in ".parquet" or contains a slash is a path. If `space` is given, the table
    must be of this space.

    Raises ForetellError for a missing table, a damaged file, or another space.

    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from foretell.tables import write_table
    >>> frame = pd.DataFrame({"test": [9.5, 91.0]}, index=["000000", "333333"])
    >>> with TemporaryDirectory() as folder:
    ...     path = f"{folder}/mine.parquet"
    ...     write_table(Table("mine", "nb201", frame, reporting=("test",)), path)
    ...     read_table(path).report("test").tolist()
    [9.5, 91.0]
    """
    text = os.fspath(as_path("name_or_path", name_or_path))
    space = optional(as_text)("space", space)
    path = Path(os.path.expanduser(text))
    if not (isinstance(name_or_path, Path) or text.endswith(".parquet") or len(path.parts) > 1):
        path = table_path(text)
        if not os.path.isfile(path):
            said = f"no table is called {text!r} in {data_folder()}"
            then = "; `foretell data import` imports one"
            raise unknown_name("table", text, stored(), said, then)
    table = read_table_file(path)
    if space is not None and table.space != space:
        raise ForetellError(
            f"table {table.name} is of space {table.space!r}; expected a table of space {space!r}"
        )
    return table
