"""Tables by name: those that are included in foretell, and those that were imported.

Imported tables are in the folder FORETELL_DATA, or the platform's folder for user data.
"""

import os
import re
from pathlib import Path

from foretell.checks import as_path, as_text, optional
from foretell.errors import ForetellError, unknown_name
from foretell.names import extra
from foretell.tables.parquet import read_table_file
from foretell.tables.table import Table

__all__ = ["INCLUDED", "data_folder", "read_table", "stored", "table_path"]

INCLUDED = Path(__file__).parent / "included"
"""The folder of the tables that are included in foretell."""


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
    """The file of every table by name, sorted; an imported table precedes an included one.

    >>> stored()["mini_cnn"].name
    'mini_cnn.parquet'
    """
    folders = INCLUDED, data_folder()
    found = {path.stem: path for folder in folders for path in folder.glob("[!.]*.parquet")}
    return dict(sorted(found.items()))


def read_table(name_or_path: str | Path, *, space: str | None = None) -> Table:
    """Read the included or imported table with this name, or the table at this path.

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
        path = _path_of(text)
    table = read_table_file(path)
    if space is not None and table.space != space:
        raise ForetellError(
            f"table {table.name} is of space {table.space!r}; expected a table of space {space!r}"
        )
    return table


def _path_of(name: str) -> Path:
    """The file of the table with this name."""
    if os.path.isfile(imported := table_path(name)):
        return imported
    known = stored()
    if name not in known:
        said = f"no table is called {name!r} in {data_folder()}"
        raise unknown_name("table", name, known, said, "; `foretell data import` imports one")
    return known[name]
