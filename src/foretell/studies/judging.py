"""Compare the scores of a study with the accuracies of its table."""

import html
import os
import re
from collections.abc import Sequence

import pandas as pd

from foretell.checks import as_path, as_texts
from foretell.errors import ForetellError
from foretell.studies.published import PUBLISHED
from foretell.studies.read import Rows, read_study
from foretell.studies.table import study_table
from foretell.tables import Table

__all__ = ["EARLY", "early_columns", "judge", "truth_columns"]

EARLY = "early@"
"""The prefix of a reduced training that is read from the table: the accuracy after E epochs."""
SETS_SHOWN = 3


class Judged(dict[str, pd.DataFrame]):
    """The table of statistics of each truth column, as `judge` returns them."""

    def _repr_html_(self) -> str:
        """The tables, for notebooks."""
        return "\n".join(
            f"<h4>{html.escape(truth)}</h4>\n{table.to_html()}" for truth, table in self.items()
        )


def judge(study: Rows | str | os.PathLike[str], truths: Sequence[str] = ()) -> "Judged":
    """Compare the scores of a study with the accuracies of its table.

    Returns a dict that maps each truth column to the result of `study_table`, with an additional
    column `published`: published values of ρ, if there are any. `study` is the folder of a study,
    as returned by `run_study`, or the rows read from one. `truths` are by default the first three
    reporting columns of the table, or its last choosing column if it has no reporting columns. If
    the table has choosing columns with the accuracy on the same data set after fewer epochs, they
    are listed with the scores as `early@E`.

    Raises RunStateError for a folder that is not a study, and ForetellError for a column that the
    table does not have.

    >>> from tempfile import TemporaryDirectory
    >>> from foretell import run_study
    >>> from foretell.tables import Table
    >>> accuracies = {"test": [10.0, 72.0, 91.0, 90.0]}
    >>> frame = pd.DataFrame(accuracies, ["000000", "111111", "333333", "222222"])
    >>> table = Table("mine", "nb201", frame, reporting=("test",))
    >>> small = {"space": "nb201?channels=2,cells=1", "proxies": ["params", "flops"]}
    >>> with TemporaryDirectory() as folder:
    ...     run = run_study(table, "digits", run=f"{folder}/run", sample=None, **small)
    ...     judged = judge(run)
    >>> judged["test"]["spearman"].round(3).to_dict()
    {'params': 0.949, 'flops': 0.949}
    """
    truths = as_texts("truths", truths, "names of columns")
    rows = study if isinstance(study, Rows) else read_study(as_path("study", study))
    return Judged({truth: judged(rows, truth) for truth in truth_columns(rows.table, truths)})


def truth_columns(table: Table, asked: Sequence[str]) -> list[str]:
    """The columns to compare scores with: those in `asked`, or the default of `judge`."""
    table.require_accuracies(asked)
    default = table.reporting[:SETS_SHOWN] or table.choosing[-1:]
    if not (asked or default):
        raise ForetellError(
            f"table {table.name} has no accuracies to compare scores with; give it a choosing or a "
            "reporting column"
        )
    return list(dict.fromkeys(asked or default))


def judged(rows: Rows, truth: str) -> pd.DataFrame:
    """The statistics of all scores against one truth column."""
    table = rows.table
    first = rows.runs[0]
    early = early_columns(table, truth)
    reduced = pd.DataFrame(
        {
            f"{EARLY}{epochs}": table.frame.loc[first.index, column].astype(float)
            for epochs, column in early.items()
        },
        index=first.index,
    ).join(rows.reduced)
    upward = dict.fromkeys(map(str, rows.reduced), True)
    upward |= {f"{EARLY}{e}": column not in table.lower_is_better for e, column in early.items()}
    repeats = table.repeats.get(truth, ())
    found = study_table(
        first.join(reduced),
        table.frame[truth],
        upward,
        repeats=table.frame[list(repeats)] if repeats else None,
        runs=[run.join(reduced) for run in rows.runs[1:]],
        more_is_better=truth not in table.lower_is_better,
    )
    found.loc[[str(name) for name in reduced if name in found.index], "kind"] = "reduced"
    published = PUBLISHED.get(table.name, {}).get(truth, {})
    found.insert(1, "published", [published.get(str(name), float("nan")) for name in found.index])
    return found


def early_columns(table: Table, truth: str) -> dict[int, str]:
    """Choosing columns with the accuracy on the same data set after fewer epochs, by epochs.

    >>> frame = pd.DataFrame({"val_4": [1.0], "val_36": [2.0], "test_36": [3.0]}, index=["000000"])
    >>> table = Table("t", "nb201", frame, choosing=("val_4", "val_36"), reporting=("test_36",))
    >>> early_columns(table, "val_36"), early_columns(table, "test_36")
    ({4: 'val_4'}, {})
    """
    last = epochs_of(truth)
    of_set = set_of(truth)
    return {
        epochs: column
        for column in table.choosing
        if (epochs := epochs_of(column)) is not None
        and last is not None
        and epochs < last
        and set_of(column) in (of_set, f"{of_set}valid")
    }


def epochs_of(column: str) -> int | None:
    """The number of epochs in the name of a column, such as 12 for cifar100_xvalid_12."""
    found = re.search(r"_(\d+)(_|$)", column)
    return int(found[1]) if found else None


def set_of(column: str) -> str:
    """The first part of the name of a column: the data set or the metric."""
    return column.partition("_")[0]
