"""Benchmarks as tables: roles of columns, the folder of tables, and importers.

To add a source, create a file in this package with a function (path, tally) -> Table, import it
here, and add an entry to `IMPORTERS`; for a file whose columns only need names, add an entry to
recipes.py. docs/tables.md describes the format.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from foretell.errors import ForetellError, unknown_name
from foretell.names import first_line
from foretell.progress import ProgressCallback, Tally
from foretell.tables.asr import import_asr
from foretell.tables.check import Finding, check_table, summary
from foretell.tables.folder import data_folder, read_table, stored, table_path
from foretell.tables.mapping import Columns, Labels, read_frame, tabulate
from foretell.tables.nats import import_nats, import_nats_sizes, import_nb201_pth
from foretell.tables.nb101_tfrecord import import_nb101_tfrecord
from foretell.tables.nds import import_nds
from foretell.tables.nlp import import_nlp
from foretell.tables.parquet import read_about, write_table
from foretell.tables.recipes import RECIPES, Recipe, import_recipe
from foretell.tables.table import Table
from foretell.tables.tnb101 import import_tnb101_macro, import_tnb101_micro

__all__ = [
    "IMPORTERS",
    "OWN",
    "Columns",
    "Finding",
    "Importer",
    "Labels",
    "Table",
    "check_table",
    "data_folder",
    "import_columns",
    "import_table",
    "read_about",
    "read_table",
    "relabelled",
    "stored",
    "summary",
    "table_path",
    "tabulate",
    "write_table",
]

OWN = "table"
"""The name of the source for any CSV or Parquet file, whose columns the user names."""


@dataclass(frozen=True)
class Importer:
    """A published file or folder, and the function that reads it."""

    read: Callable[[Path, Tally], Table]
    """Reads the file; the tally counts the units that are read as "import"."""
    takes: str
    summary: str
    name: str
    """The name of the table; empty if it is named after the file."""
    unpickles: bool = False
    """Whether reading the file can execute code in it."""


def _at_once(recipe: Recipe, path: Path, tally: Tally) -> Table:
    """Import a file that is read at once, so that there are no units to count."""
    return import_recipe(recipe, path)


NATS = "NATS-tss-v1_0-3ffb9-simple or NATS-tss-v1_0-3ffb9.pickle.pbz2"
UNPICKLED = ("nats-tss", "nats-sss")
TNB101 = "transnas-bench_v10141024.pth"
NATS_SIZES = "NATS-sss-v1_0-50262-simple or NATS-sss-v1_0-50262.pickle.pbz2"
NB101 = "nasbench_only108.tfrecord or nasbench_full"

IMPORTERS: dict[str, Importer] = {
    source: Importer(
        partial(_at_once, recipe), ".parquet or .csv", recipe.summary, recipe.labels.name
    )
    for source, recipe in RECIPES.items()
} | {
    source: Importer(read, takes, first_line(read), name, unpickles=source in UNPICKLED)
    for source, name, read, takes in (
        ("nats-tss", "nb201", import_nats, NATS),
        ("nats-sss", "nats_sss", import_nats_sizes, NATS_SIZES),
        ("nb201-pth", "nb201", import_nb201_pth, "NAS-Bench-201-v1_1-096897.pth"),
        ("nb101-tfrecord", "nb101", import_nb101_tfrecord, NB101),
        ("asr", "asr", import_asr, "folder of nb-asr-*.pickle"),
        ("tnb101-micro-pth", "tnb101_micro", import_tnb101_micro, TNB101),
        ("tnb101-macro-pth", "tnb101_macro", import_tnb101_macro, TNB101),
        ("nds", "", import_nds, "ResNet.json, DARTS.json, ..."),
        ("nlp", "nlp", import_nlp, "folder train_logs_*, logs.zip or .parquet"),
    )
}


def import_table(
    source: str,
    path: str | Path,
    *,
    trust_pickle: bool = False,
    progress: ProgressCallback | bool | None = None,
) -> Table:
    """Import a file of a known source as a table.

    `progress` is called with a `Progress` from time to time while networks or files are read one by
    one. Raises ForetellError if the file cannot be read as this source.

    >>> import_table("nb210", "x.parquet")
    Traceback (most recent call last):
    foretell.errors.UnknownName: no source is called 'nb210'; did you mean 'nb201'?
    """
    if source not in IMPORTERS:
        raise unknown_name("source", source, [OWN, *IMPORTERS])
    importer, file = IMPORTERS[source], Path(os.path.expanduser(path))
    if trust_pickle and not importer.unpickles:
        raise ForetellError(f"trust_pickle has no effect on the source {source!r}; leave it out")
    if importer.unpickles and not trust_pickle and file.exists():
        raise ForetellError(
            f"{source} reads pickles, which can execute any code; if {file} is the authors' own "
            "archive, pass --trust-pickle (trust_pickle=True)"
        )
    return importer.read(file, Tally(progress))


def import_columns(path: str | Path, columns: Columns, labels: Labels) -> Table:
    """Import any CSV or Parquet file as a table, given the roles of its columns.

    Raises ForetellError as `tabulate` does, and for a file that cannot be read.
    """
    file = Path(os.path.expanduser(path))
    return tabulate(read_frame(file, columns.key), columns, labels)


def relabelled(table: Table, **labels: str | None) -> Table:
    """The table with another name, source or licence; None keeps the current one."""
    given = {name: label for name, label in labels.items() if label is not None}
    return replace(table, checksum="", **given)  # type: ignore[arg-type]
