"""The training logs of NAS-Bench-NLP: one JSON file per run, in a folder or in logs.zip.

Klyuchnikov et al. 2020, arXiv:2006.07116. A log contains the recipe of the recurrent cell and the
losses after each epoch. A cell may have several runs, also with recipes that give its nodes
different names.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.progress import Tally
from foretell.tables.keys import official_keys
from foretell.tables.mapping import Columns, Labels, read_frame, tabulate
from foretell.tables.reshape import numbered
from foretell.tables.table import Table

__all__ = ["import_nlp"]

LABELS = Labels("nlp", "nlp", "Klyuchnikov et al. 2020, arXiv:2006.07116", "Apache-2.0")
CURVES = ("val_losses", "test_losses", "wall_times")
LOSSES = ("valid_loss", "test_loss")


def import_nlp(path: Path, tally: Tally) -> Table:
    """NAS-Bench-NLP's logs: a folder train_logs_*, its logs.zip, or a Parquet file of such runs.

    `valid_loss` is the lowest validation loss over the epochs and `test_loss` the loss on test text
    at the same epoch: cross-entropy in nats per word, averaged over the runs of a cell. Runs that
    diverged in the first epoch have nan. A Parquet file has one row per run: `recipe`,
    `num_params`, and the lists `val_losses`, `test_losses` and `wall_times` with one value per
    epoch.

    Raises ForetellError for a missing or truncated file, or one of another kind.
    """
    if path.suffix == ".parquet":
        runs = read_frame(path)
    else:
        runs = pd.DataFrame(_log(name, text) for name, text in tally.over("import", _texts(path)))
    if runs.empty:
        raise ForetellError(f"there are no .json logs in {path}; give train_logs_* or its logs.zip")
    try:
        cells = _cells(runs, str(path))
    except (KeyError, TypeError, IndexError) as error:
        raise ForetellError(
            f"{path} contains no runs of NAS-Bench-NLP ({type(error).__name__}: {error}); expected "
            f"recipe, num_params, {', '.join(CURVES)} in each"
        ) from error
    return tabulate(cells, _columns(cells), LABELS)


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every log, sorted by name."""
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*.json") if file.is_file()):
            yield str(file), file.read_bytes()
        return
    if not path.is_file():
        raise ForetellError(f"there is no file or folder {path}; give train_logs_* or its logs.zip")
    try:
        with zipfile.ZipFile(path) as archive:
            for log in sorted(archive.infolist(), key=lambda log: log.filename):
                if log.filename.endswith(".json"):
                    require_size(log)
                    yield f"{path}/{log.filename}", archive.read(log)
    except (ForetellError, MemoryError):
        raise
    except Exception as error:  # zipfile and zlib each have their own
        raise ForetellError(
            f"{path} cannot be read as a ZIP file ({error}); it is truncated or of another kind: "
            "download it again"
        ) from error


LARGEST = 2**28
"""The most bytes of a log; a small ZIP file can declare any number."""


def require_size(log: zipfile.ZipInfo) -> None:
    """Raise ForetellError for a log that is too large."""
    if log.file_size > LARGEST:
        raise ForetellError(
            f"{log.filename} in the ZIP file has {log.file_size:,} bytes; expected logs of at most "
            f"{LARGEST:,}"
        )


def _log(name: str, text: bytes) -> dict[str, Any]:
    """The data of one log that the table needs. The benchmark spells recipe `recepie`."""
    try:
        log = json.loads(text)
        return {"recipe": log["recepie"], **{x: log[x] for x in ("num_params", *CURVES)}}
    except (ValueError, KeyError, TypeError) as error:
        raise ForetellError(
            f"{name} is not a log of NAS-Bench-NLP ({type(error).__name__}: {error}); the folder "
            "may contain only its logs"
        ) from error


def _cells(runs: pd.DataFrame, what: str) -> pd.DataFrame:
    """One row per cell: the mean of its runs and each of them."""
    curves = zip(runs["val_losses"], runs["test_losses"], strict=True)
    best = np.array([_best(valid, test) for valid, test in curves])
    each = pd.DataFrame(
        {
            "recipe": official_keys("nlp", runs["recipe"], what),
            "valid_loss": best[:, 0],
            "test_loss": best[:, 1],
            "seconds": [float(np.sum(times)) for times in runs["wall_times"]],
            "num_params": runs["num_params"].to_numpy(),
        }
    )
    return numbered(each, "recipe", list(LOSSES))


def _best(valid: Sequence[float], test: Sequence[float]) -> tuple[float, float]:
    """Both losses at the epoch with the lowest validation loss."""
    losses = np.asarray(valid, dtype=float)
    if np.isnan(losses).all():
        return float("nan"), float("nan")
    epoch = int(np.nanargmin(losses))
    return float(losses[epoch]), float(test[epoch])


def _columns(cells: pd.DataFrame) -> Columns:
    names = list(cells.columns.astype(str))
    repeats = {loss: tuple(x for x in names if x.startswith(f"{loss}_")) for loss in LOSSES}
    return Columns(
        key="recipe",
        choose=LOSSES[:1],
        report=LOSSES[1:],
        cost=("seconds", "num_params"),
        repeats=repeats if len(repeats["valid_loss"]) > 1 else {},
        lower=LOSSES,
    )
