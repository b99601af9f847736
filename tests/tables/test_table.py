"""Tables: the roles of columns, the file format, the folder, and `foretell data`."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.tables import (
    Table,
    check_table,
    data_folder,
    read_about,
    read_table,
    stored,
    summary,
    write_table,
)
from foretell.tables.folder import INCLUDED
from foretell.tables.table import content_checksum
from tests.support.cells import CELLS
from tests.support.commands import refused, run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's tables."""
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def table() -> Table:
    """Four cells with every role, a missing value, and a column of text."""
    frame = pd.DataFrame(
        {
            "val": [10.0, 60.5, 70.25, np.nan],
            "test": [10.0, 61.0, 70.0, 90.0],
            "test_a": [10.0, 60.0, 69.0, 90.0],
            "test_b": [10.0, 62.0, 71.0, np.nan],
            "error": [90.0, 39.0, 30.0, 10.0],
            "params": np.array([1, 2, 3, 4], dtype=np.int32),
            "note": ["a", "b", None, "d"],
        },
        index=CELLS,
    )
    return Table(
        name="mine",
        space="nb201",
        frame=frame,
        choosing=("val",),
        reporting=("test", "error"),
        cost=("params",),
        repeats={"test": ("test_a", "test_b")},
        source="made here",
        licence="MIT",
        lower_is_better=("error",),
    )


def test_a_table_is_read_as_it_was_written(table: Table, tmp_path: Path) -> None:
    """All of its content and metadata are kept, whatever the types."""
    write_table(table, tmp_path / "a" / "mine.parquet")
    again = read_table(tmp_path / "a" / "mine.parquet")
    pd.testing.assert_frame_equal(again.frame, table.frame, check_dtype=True)
    for name in ("name", "space", "choosing", "reporting", "cost", "repeats", "source", "licence"):
        assert getattr(again, name) == getattr(table, name), name
    assert again.lower_is_better == ("error",)
    assert again.checksum == table.checksum


def test_choosing_and_reporting_never_mix(table: Table) -> None:
    """Each accessor returns its own columns, and refuses those of the other, repeats and costs."""
    assert table.choose("val").idxmax() == CELLS[2]
    assert table.report("test").idxmax() == CELLS[3]
    with pytest.raises(
        ForetellError, match="'test' is a reporting column and must not be used to choose"
    ):
        table.choose("test")
    with pytest.raises(ForetellError, match="'val' is a choosing column"):
        table.report("val")
    for column in ("test", "error", "test_a", "params", "note"):
        with pytest.raises(ForetellError, match=column):
            table.choose(column)
    for column in ("val", "test_a", "params", "vall"):
        with pytest.raises(ForetellError, match=column):
            table.report(column)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reporting": ("val",)}, "has the roles choosing and reporting"),
        ({"cost": ("test",)}, "has the roles reporting and cost"),
        ({"repeats": {"test": ("val",)}}, "has the role choosing and is also a repeat"),
        ({"choosing": ("vol",)}, "did you mean 'val'"),
        ({"repeats": {"test": ("test_c",)}}, "no column 'test_c'"),
        ({"repeats": {"note": ("test_a",)}}, "'note' has no role"),
        ({"lower_is_better": ("note",)}, "'note' has no role"),
        ({"cost": ("note",)}, "expected numbers in a column with a role"),
        (
            {"choosing": (), "reporting": (), "cost": (), "repeats": {}},
            "no choosing, reporting or cost column",
        ),
        ({"checksum": "0" * 64}, "does not match its checksum"),
    ],
)
def test_invalid_roles_are_refused(table: Table, change: dict[str, object], message: str) -> None:
    """A table that could mislead cannot be constructed."""
    plain: dict[str, object] = {"lower_is_better": (), "checksum": ""}
    with pytest.raises(ForetellError, match=message):
        replace(table, **{**plain, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([CELLS[0], CELLS[1], CELLS[2], CELLS[1]], "1 rows repeat a key"),
        ([CELLS[0], None, CELLS[2], " "], "2 of 4 rows have no key, the first is row 1"),
        ([0, 1, 2, 3], "4 of 4 rows have no key"),
    ],
)
def test_missing_and_duplicate_keys_are_refused(
    table: Table, keys: list[object], message: str
) -> None:
    """A table has every architecture once."""
    with pytest.raises(ForetellError, match=message):
        replace(table, frame=table.frame.set_axis(keys, axis="index"), checksum="")


def test_invalid_values_are_refused(table: Table) -> None:
    """An infinite value, a column without values, two columns of one name, and no rows."""
    for values, message in (([1.0, 2.0, np.inf, 3.0], "infinite"), ([np.nan] * 4, "no number")):
        with pytest.raises(ForetellError, match=message):
            replace(table, frame=table.frame.assign(val=values), checksum="")
    twice = pd.concat([table.frame, table.frame[["val"]]], axis="columns")
    with pytest.raises(ForetellError, match="two columns called 'val'"):
        replace(table, frame=twice, checksum="")
    with pytest.raises(ForetellError, match="no rows"):
        replace(table, frame=table.frame[:0], checksum="")


def test_checksum_covers_everything(table: Table) -> None:
    """Changing a name, role, key or value changes the checksum; the type of a float does not."""
    frame = table.frame
    changed = [
        replace(table, name="other", checksum=""),
        replace(table, licence="none", checksum=""),
        replace(table, lower_is_better=(), checksum=""),
        replace(table, repeats={}, checksum=""),
        replace(table, frame=frame.assign(val=[10.0, 60.5, 70.25, 0.0]), checksum=""),
        replace(table, frame=frame.assign(params=[1, 2, 3, 5]), checksum=""),
        replace(table, frame=frame.assign(note=["a", "b", "c", "d"]), checksum=""),
        replace(table, frame=frame.iloc[::-1], checksum=""),
    ]
    assert len({table.checksum, *(other.checksum for other in changed)}) == len(changed) + 1
    narrow = replace(table, frame=frame.astype({"val": "float32"}), checksum="")
    assert content_checksum(narrow) == table.checksum


def test_tampered_value_is_found(table: Table, tmp_path: Path) -> None:
    """A file whose values were changed without changing the checksum is refused."""
    import pyarrow.parquet as pq

    path = tmp_path / "mine.parquet"
    write_table(table, path)
    arrow = pq.read_table(path)
    place = arrow.schema.get_field_index("test")
    better = arrow.set_column(place, arrow.schema.field("test"), [[99.0, 61.0, 70.0, 90.0]])
    pq.write_table(better.replace_schema_metadata(arrow.schema.metadata), path)
    with pytest.raises(ForetellError, match="does not match its checksum"):
        read_table(path)


@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    """However much is missing at the end, the message is one line."""
    path = tmp_path_factory.mktemp("cut") / "mine.parquet"
    frame = pd.DataFrame({"test": [1.0, 2.0]}, index=CELLS[:2])
    write_table(Table("mine", "nb201", frame, reporting=("test",)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ForetellError, match="truncated") as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_other_parquet_and_other_format(table: Table, tmp_path: Path) -> None:
    """A Parquet file that is not a table of foretell, and one of a later format."""
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    table.frame.to_parquet(path)
    with pytest.raises(ForetellError, match="not a table of foretell"):
        read_table(path)
    write_table(table, path)
    arrow = pq.read_table(path)
    said = {**json.loads(arrow.schema.metadata[b"foretell"]), "format": 2}
    metadata = {**arrow.schema.metadata, b"foretell": json.dumps(said).encode()}
    pq.write_table(arrow.replace_schema_metadata(metadata), path)
    with pytest.raises(ForetellError, match="format 2, and this version reads format 1"):
        read_table(path)


def test_folder(table: Table, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is looked up in FORETELL_DATA, which defaults to the platform's folder for data."""
    write_table(table, folder / "mine.parquet")
    assert read_table("mine").checksum == table.checksum
    assert read_table("mine", space="nb201").name == "mine"
    with pytest.raises(ForetellError, match="of space 'nb201'; expected a table of space 'nb101'"):
        read_table("mine", space="nb101")
    with pytest.raises(ForetellError, match="did you mean 'mine'"):
        read_table("mien")
    with pytest.raises(ForetellError, match="is not a valid table name"):
        read_table("mi ne")
    with pytest.raises(ForetellError, match="no file"):
        read_table(folder / "absent.parquet")
    monkeypatch.setenv("FORETELL_DATA", "~nobody/tables")
    assert {path.parent for path in stored().values()} == {INCLUDED}
    monkeypatch.delenv("FORETELL_DATA")
    assert data_folder().name == "foretell"


def test_unwritable_folder(table: Table, tmp_path: Path) -> None:
    """The folder cannot be created, because a file has its name."""
    (tmp_path / "file").touch()
    with pytest.raises(ForetellError, match="set FORETELL_DATA"):
        write_table(table, tmp_path / "file" / "mine.parquet")


def test_check_and_summary(table: Table) -> None:
    """The check verifies keys and the means of repeats; the summary has the best of each column."""
    texts = [(finding.good, finding.text) for finding in check_table(table)]
    assert all(good for good, _ in texts)
    assert any("4 keys are architectures of nb201" in text for _, text in texts)
    assert any("mean of its 2 repeats in 100.0 %" in text for _, text in texts)
    rows = summary(table)
    assert rows.loc["val", "arch"] == CELLS[2]
    assert (rows.loc["error", "best"], rows.loc["error", "arch"]) == (10.0, CELLS[3])
    assert (rows.loc["test", "best"], rows.loc["val", "values"]) == (90.0, 3)
    assert rows["role"].to_dict() == {
        "val": "choosing",
        "test": "reporting",
        "test_a": "repeat",
        "test_b": "repeat",
        "error": "reporting",
        "params": "cost",
        "note": "",
    }


def test_check_finds_what_is_odd(table: Table) -> None:
    """Keys in another format, repeats with another mean, and keys of another space."""
    digits = ["000000", "100000", "200000", "300000"]
    frame = table.frame.set_axis(digits, axis="index").assign(test_a=[10.0, 60.0, 69.0, 80.0])
    odd = [f.text for f in check_table(replace(table, frame=frame, checksum="")) if not f.good]
    assert any("4 keys are not in the format of nb201" in text for text in odd)
    assert any("75.0 %" in text for text in odd)
    with pytest.raises(ForetellError, match="not an architecture of nb201"):
        check_table(replace(table, frame=frame.set_axis(list("abcd"), axis="index"), checksum=""))
    later = check_table(replace(table, space="later", checksum=""))
    assert next(one.text for one in later if not one.good).startswith("space later is unknown")


def test_list_and_check_commands(
    table: Table, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their output; a file that is not a table does not hide the others."""
    code, out, _ = run(capsys, "data", "list")
    assert code == 0
    assert f"stores tables in {folder}" in out.replace("\n", " ")
    write_table(table, folder / "mine.parquet")
    (folder / "torn.parquet").write_bytes(b"PAR1")
    code, out, err = run(capsys, "data", "list", "--json")
    assert code == 0
    listed = {row["name"]: row["rows"] for row in json.loads(out)["rows"]}
    assert listed.pop("mine") == 4
    assert listed == {path.stem: read_about(path)["rows"] for path in INCLUDED.iterdir()}
    assert "torn.parquet" in err
    code, out, _ = run(capsys, "data", "check", "mine", "--json")
    held = json.loads(out)
    assert (code, held["checksum"], held["architectures"]) == (0, table.checksum, 4)
    assert all(finding["good"] for finding in held["findings"])
    code, out, _ = run(capsys, "data", "check", "mine")
    assert code == 0
    assert "made here" in out
    assert "truncated" in refused(capsys, "data", "check", "torn")
    assert "`foretell data import` imports one" in refused(capsys, "data", "check", "other")
