"""Rows of a table as samples."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from foretell import ForetellError, load_data

ROWS = {
    "age": [20.0, 30.0, None, 50.0, 60.0] * 4,
    "constant": [7] * 20,
    "colour": ["red", "blue", "red", None, "green"] * 4,
    "flag": [True, False] * 10,
    "kind": ["no", "yes"] * 10,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pd.DataFrame(ROWS).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


def test_numbers_are_scaled_and_categories_are_one_hot_encoded(file: Path) -> None:
    splits = load_data(f"csv:{file}")
    assert splits.classes == 2
    assert splits.sample_shape == (1 + 1 + 3 + 2,)
    rows, labels = splits.train
    assert len(labels) + len(splits.val[1]) + len(splits.test[1]) == 20
    assert rows[:, 0].mean().abs() < 1e-6  # a missing age counts as the mean
    assert rows[:, 1].abs().max() == 0
    assert set(rows[:, 2:].flatten().tolist()) == {0.0, 1.0}
    everything = torch.cat([splits.train[0], splits.val[0], splits.test[0]])
    assert everything[:, 2:5].sum() == 16  # the other four are missing
    assert everything[:, 5:].sum(1).eq(1).all()


def test_parquet_and_csv_give_the_same_samples(file: Path) -> None:
    pd.read_csv(file).to_parquet(file.with_suffix(".parquet"))
    one, other = load_data(f"csv:{file}"), load_data(f"csv:{file.with_suffix('.parquet')}")
    assert torch.equal(one.train[0], other.train[0])


def test_any_column_may_be_the_target(file: Path) -> None:
    assert load_data(f"csv:{file}?target=flag").sample_shape == (1 + 1 + 3 + 2,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("?target=kid", "no column 'kid'; did you mean 'kind'"),
        ("?target=constant", "has 1 different values"),
        ("?target=colour", "rows without a value of 'colour'"),
    ],
)
def test_an_invalid_target_is_refused(settings: str, message: str, file: Path) -> None:
    with pytest.raises(ForetellError, match=message):
        load_data(f"csv:{file}{settings}")


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "a\n" + "1\n2\n" * 9])
def test_a_file_that_is_not_a_table_is_refused(content: str, file: Path) -> None:
    file.write_text(content)
    with pytest.raises(ForetellError, match=r"read as a table|2 rows|1 rows|only the column"):
        load_data(f"csv:{file}")
    with pytest.raises(ForetellError, match="there is no file"):
        load_data(f"csv:{file}x")
