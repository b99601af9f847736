"""What can be checked of a table beyond what reading it checks, and a summary of its columns."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretell.spaces import SPACES
from foretell.tables.keys import MODELS, official_keys
from foretell.tables.table import Table

__all__ = ["Finding", "check_table", "summary"]


@dataclass(frozen=True)
class Finding:
    """One thing that holds of a table, or that is odd without being wrong."""

    good: bool
    text: str


def check_table(table: Table) -> list[Finding]:
    """What was checked, one finding each. Raises ForetellError where the table can't be used.

    That checksum, unique keys and roles are right is known of every table that was read.
    """
    held = f"checksum {table.checksum[:12]}… is right, keys are unique, no column has two roles"
    return [Finding(True, held), _keys(table), *_means(table)]


def _keys(table: Table) -> Finding:
    keys = list(table.frame.index)
    written = official_keys(table.space, keys, f"table {table.name}")
    odd = sum(ours != theirs for ours, theirs in zip(written, keys, strict=True))
    if table.space not in (MODELS, *SPACES):
        return Finding(False, f"this version does not know space {table.space}: keys unread")
    if odd:
        return Finding(False, f"{odd} keys are not as {table.space} writes them; import it again")
    return Finding(True, f"all {len(keys):,} keys are architectures of {table.space}")


def _means(table: Table) -> list[Finding]:
    """Whether columns with repeats are the mean of them."""
    found = []
    for column, runs in table.repeats.items():
        mean = table.frame[list(runs)].mean(axis=1)
        known = mean.notna()
        share = float(np.isclose(mean, table.frame[column], atol=1e-6)[known].mean())
        text = f"{column} is the mean of its {len(runs)} repeats in {100 * share:.1f} % of the rows"
        found.append(Finding(share == 1, text))
    return found


def summary(table: Table) -> pd.DataFrame:
    """A row a column: its role, how many values it has, its best one and whose that is."""
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
