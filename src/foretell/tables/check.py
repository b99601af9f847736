"""Check a table beyond the checks that are made when it is read, and summarise its columns."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretell.tables.keys import KEYED, official_keys
from foretell.tables.table import Table

__all__ = ["Finding", "check_table", "summary"]


@dataclass(frozen=True)
class Finding:
    """The result of a check: a property that holds, or an anomaly that is not an error."""

    good: bool
    text: str


def check_table(table: Table) -> list[Finding]:
    """Check a table, with one finding per check. Raises ForetellError if it cannot be used.

    The checksum, the uniqueness of keys and the roles were already verified when it was read.
    """
    held = f"checksum {table.checksum[:12]}… is correct, keys are unique, no column has two roles"
    return [Finding(True, held), _keys(table), *_means(table)]


def _keys(table: Table) -> Finding:
    if table.space not in KEYED:
        return Finding(False, f"space {table.space} is unknown to this version: keys not checked")
    keys = list(table.frame.index)
    written = official_keys(table.space, keys, f"table {table.name}")
    odd = sum(ours != theirs for ours, theirs in zip(written, keys, strict=True))
    if odd:
        return Finding(
            False, f"{odd} keys are not in the format of {table.space}; import the table again"
        )
    return Finding(True, f"all {len(keys):,} keys are architectures of {table.space}")


def _means(table: Table) -> list[Finding]:
    """Whether columns with repeats are the mean of their repeats."""
    found = []
    for column, runs in table.repeats.items():
        mean = table.frame[list(runs)].mean(axis=1)
        known = mean.notna()
        share = float(np.isclose(mean, table.frame[column], atol=1e-6)[known].mean())
        text = f"{column} is the mean of its {len(runs)} repeats in {100 * share:.1f} % of the rows"
        found.append(Finding(share == 1, text))
    return found


def summary(table: Table) -> pd.DataFrame:
    """Summarise each column: its role, number of values, best value and best architecture."""
    rows = []
    for column, role in table.roles.items():
        values = table.frame[column]
        row: dict[str, object] = {"column": column, "role": role, "values": int(values.count())}
        if role in ("choosing", "reporting"):
            lower = column in table.lower_is_better
            row["best"] = float(values.min() if lower else values.max())
            row["arch"] = values.idxmin() if lower else values.idxmax()
        rows.append(row)
    return pd.DataFrame(rows, columns=["column", "role", "values", "best", "arch"]).set_index(
        "column"
    )
