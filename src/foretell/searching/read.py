"""The rows of a search, finished or not, as frames."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.errors import ForetellError
from foretell.runs.store import read_config, read_rows

__all__ = ["Found", "read_search"]

ARMS = {"scored": "helped by scores", "unscored": "without help"}


@dataclass(frozen=True, eq=False)
class Found:
    """What the rows of a search say."""

    folder: Path
    config: dict[str, Any]
    trained: pd.DataFrame
    """A row a training, in order: `arm`, `number`, `arch`, its scores by proxy, `val_accuracy`,
    `test_accuracy`, `seconds`, and `spent`: the arm's seconds of training and scoring so far."""
    seconds_a_score: float
    made_with: list[str]

    @property
    def best(self) -> pd.DataFrame:
        """The row of each arm that is best on the validation samples."""
        known = self.trained.dropna(subset="val_accuracy")
        return known.loc[known.groupby("arm", sort=False)["val_accuracy"].idxmax()]

    def curve(self, arm: str) -> pd.DataFrame:
        """By number of trainings: the best validation accuracy so far, and what was spent."""
        own = self.trained[self.trained["arm"] == arm].set_index("number")
        return own[["spent"]].assign(best=own["val_accuracy"].cummax().ffill())


def read_search(run: str | os.PathLike[str]) -> Found:
    """The rows of a search, finished or not; needs the run folder alone.

    Raises ForetellError if the folder is no search or nothing is trained yet.
    """
    config, rows = read_config(run), read_rows(run)
    if config.get("job") != "search":
        raise ForetellError(f"{run} is a run of another kind; give the folder of a search")
    trainings = {
        row["key"]["arch"]: row
        for row in rows
        if row["key"]["kind"] == "train"
        and row["key"]["training"] == config["training"]
        and row["key"]["settings"] == config["space"]["settings"]
    }
    scores: dict[str, dict[str, Any]] = {}
    took: dict[str, float] = {}
    for row in rows:
        if row["key"]["kind"] == "score":
            arch = row["key"]["arch"]
            scores.setdefault(arch, {})[row["key"]["proxy"]] = row["value"]
            took[arch] = max(took.get(arch, 0.0), row["seconds"])
        elif row["key"]["kind"] == "cost":
            scores.setdefault(row["key"]["arch"], {})[row["key"]["cost"]] = row["value"]
    each = sum(took.values()) / len(took) if took else 0.0
    asked = [row for row in rows if row["key"]["kind"] == "trained"]
    if not asked:
        raise ForetellError(f"{run} has trained nothing yet; let `foretell search` run")
    records, spent = [], dict.fromkeys(ARMS, 0.0)
    for row in asked:
        arm, training = row["key"]["arm"], trainings[row["arch"]]
        spent[arm] = max(spent[arm], row.get("before", 0.0)) + training["seconds"]
        about = {"arm": arm, "number": row["key"]["number"], "arch": row["arch"]}
        measured = {n: training[n] for n in ("val_accuracy", "test_accuracy", "seconds")}
        cost = {"spent": spent[arm] + row["scored"] * each}
        records.append({**about, **scores.get(row["arch"], {}), **measured, **cost})
    frame = pd.DataFrame(records)
    texts = ["arm", "arch"]
    frame = frame.astype({name: float for name in frame if name not in [*texts, "number"]})
    made_with = sorted({row["made_with"] for row in rows if "made_with" in row})
    return Found(Path(run), config, frame, each, made_with)
