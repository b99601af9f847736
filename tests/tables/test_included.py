"""The tables that are included in foretell."""

from pathlib import Path

import pytest

from foretell import read_table
from foretell.tables import check_table
from foretell.tables.folder import INCLUDED
from foretell.tables.parquet import write_table
from foretell.tables.table import Table

NAMES = sorted(path.stem for path in INCLUDED.glob("*.parquet"))


def test_names() -> None:
    """The folder has the tables of bench/mini.py."""
    assert NAMES == ["mini_cnn", "mini_tabular_digits"]


@pytest.mark.parametrize("name", NAMES)
def test_included(name: str) -> None:
    """At least a hundred networks with two seeds each, whose mean is the value to choose by."""
    table = read_table(name)
    assert (table.name, table.reporting, table.cost) == (name, ("test",), ("params",))
    assert len(table.frame) >= 100
    assert [finding.text for finding in check_table(table) if not finding.good] == []
    assert {len(runs) for runs in table.repeats.values()} == {2}
    assert table.choose("val").nunique() > 20


def test_imported_tables_take_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of the same name in the folder of the user is read instead."""
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path))
    frame = read_table("mini_cnn").frame[["test"]].head(2)
    write_table(Table("mini_cnn", "cnn", frame, reporting=("test",)), tmp_path / "mini_cnn.parquet")
    assert len(read_table("mini_cnn").frame) == 2
