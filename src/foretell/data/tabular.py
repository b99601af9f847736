"""Samples that are rows of a table: numerical and categorical columns, and a class."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from foretell.data.lazy import completed
from foretell.data.splits import Splits
from foretell.errors import ForetellError, unknown_name

__all__ = ["breast_cancer", "csv"]

MOST_KINDS = 100
"""The maximum number of categories of a column or of the target; more are considered a mistake."""


def csv(file: str, *, target: str | None = None, held_out: float = 0.2) -> Splits:
    """A CSV or Parquet table; the column `target` is the class (default: the last column).

    Numerical columns are normalised to mean 0 and variance 1 over the training rows; missing values
    count as the mean. Categorical columns are one-hot encoded.
    """
    frame = read_frame(Path(file))
    target = str(frame.columns[-1]) if target is None else target
    if target not in frame:
        raise unknown_name("column", target, frame, f"{file} has no column {target!r}")
    classes, labels = kinds(frame[target], f"the target {target!r} of {file}")
    if frame[target].isna().any():
        raise ForetellError(f"{file} has rows without a value of {target!r}; remove them")
    features = frame.drop(columns=target)
    if not features.shape[1]:
        raise ForetellError(f"{file} has only the column {target!r}; expected features besides it")
    columns, numbers = [], []
    for name, column in features.items():
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            columns.append(column.to_numpy(np.float64)[:, None])
            numbers.append(True)
        else:
            found, codes = kinds(column, f"column {name!r} of {file}")
            columns.append((codes[:, None] == torch.arange(len(found))).double().numpy())
            numbers += [False] * len(found)
    values = torch.from_numpy(np.concatenate(columns, axis=1))
    name = f"csv:{Path(file).name}"
    return standardised(name, values, torch.tensor(numbers), labels, len(classes), held_out)


def breast_cancer() -> Splits:
    """Breast tumours, 30 measurements each, benign or malignant: 343, 113 and 113 samples.

    >>> splits = breast_cancer()
    >>> splits.sample_shape, [len(labels) for _, labels in (splits.train, splits.val, splits.test)]
    ((30,), [343, 113, 113])
    """
    from sklearn.datasets import load_breast_cancer  # it is slow to import and only needed here

    raw = load_breast_cancer()
    values, labels = torch.as_tensor(raw.data), torch.as_tensor(raw.target, dtype=torch.int64)
    numbers = torch.ones(values.shape[1], dtype=torch.bool)
    return standardised("breast_cancer", values, numbers, labels, 2, 0.2)


def standardised(
    name: str, values: Tensor, numbers: Tensor, labels: Tensor, classes: int, held_out: float
) -> Splits:
    """Splits in which the columns `numbers` have mean 0 and variance 1 over the training rows."""
    whole = {"train": (values.double(), labels)}
    found = completed(whole, held_out, lambda rows, chosen: rows[chosen])
    train = found["train"][0]
    mean = train.nanmean(0)
    std = (train - mean).square().nanmean(0).sqrt()
    mean = torch.where(numbers & mean.isfinite(), mean, 0.0)
    std = torch.where(numbers & (std > 0), std, 1.0)

    def scaled(part: str) -> tuple[Tensor, Tensor]:
        rows, own = found[part]
        return ((rows - mean) / std).nan_to_num(0.0).float(), own

    return Splits(name, classes, scaled("train"), scaled("val"), scaled("test"))


def kinds(column: "pd.Series[Any]", what: str) -> tuple[list[str], Tensor]:
    """The categories in order, and the index of each row's category; -1 if it is missing."""
    codes, found = pd.factorize(column, sort=True)
    if not 2 <= len(found) <= MOST_KINDS:
        raise ForetellError(
            f"{what} has {len(found)} different values; expected 2 to {MOST_KINDS} categories"
        )
    return [str(one) for one in found], torch.as_tensor(codes, dtype=torch.int64)


def read_frame(path: Path) -> pd.DataFrame:
    """The table. Raises ForetellError if the file cannot be read as one."""
    if not os.path.isfile(path):
        raise ForetellError(f"there is no file {path}; give the path of a CSV or Parquet file")
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except Exception as error:  # pandas and pyarrow raise different exceptions
        reason = " ".join(str(error).split())[:100]
        raise ForetellError(
            f"{path} cannot be read as a table ({reason}); give a CSV or Parquet file"
        ) from error
    if len(frame) < 10:
        raise ForetellError(f"{path} has {len(frame)} rows; expected at least 10")
    return frame
