"""The results of the trainings of a search: its own, those of its first stages, and others'."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from foretell.runs.rowlog import Row
from foretell.runs.rows import ToldRow, TrainRow, rows_of

__all__ = ["full_epochs", "results_of_search", "told_values"]


def results_of_search(config: Mapping[str, Any], rows: Iterable[Row]) -> pd.DataFrame:
    """One row per result, in the order of the rows: `name`, `value` and `epoch`.

    Higher values are better. A network that was trained for fewer epochs, as in the first stage
    "halving", has a row for each of these trainings. Results from elsewhere count as those of full
    trainings. Undefined results are nan. `config` is the configuration of the run.
    """
    training, settings = config["training"], config["space"]["settings"]
    recipe, last = without_epochs(training), full_epochs(training)
    found, elsewhere = [], list[ToldRow]()
    for stored in rows:
        elsewhere += rows_of(ToldRow, [stored])
        for row in rows_of(TrainRow, [stored]):
            if (row.network.settings, without_epochs(row.training)) == (settings, recipe):
                value, epochs = row.trained.val_accuracy, full_epochs(row.training)
                found.append((row.network.arch, value, epochs))
    told = told_values(elsewhere, bool(training.get("lower_is_better")))
    known = {name for name, _, epoch in found if epoch == last}
    found += [(name, value, last) for name, value in told.items() if name not in known]
    return pd.DataFrame(found, columns=["name", "value", "epoch"])


def full_epochs(training: Mapping[str, Any]) -> int:
    """The number of epochs, or the budget of the user's own training."""
    return int(training["epochs"] if "epochs" in training else training["budget"])


def without_epochs(training: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a training, except its length."""
    return {name: value for name, value in training.items() if name not in ("epochs", "stop_after")}


def told_values(rows: Sequence[ToldRow], lower_is_better: bool) -> dict[str, float]:
    """The value of each architecture: the mean over seeds at its last epoch; higher is better."""
    by_arch: dict[str, list[ToldRow]] = {}
    for row in rows:
        by_arch.setdefault(row.arch, []).append(row)
    found = {}
    for arch, own in by_arch.items():
        last = max(row.epoch or 0 for row in own)
        values = [row.value for row in own if (row.epoch or 0) == last]
        found[arch] = (-1 if lower_is_better else 1) * sum(values) / len(values)
    return found
