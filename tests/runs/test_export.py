"""The rows of a run as files for other programs."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell import ForetellError
from foretell.cli import main
from foretell.runs.export import export_rows
from foretell.runs.store import Store, read_rows
from tests.support.rows import damage_row

ROWS: list[dict[str, Any]] = [
    {"key": {"kind": "a", "n": 1, "own": {"x": 1}}, "value": 1.5, "why": None, "odd": 2**70},
    {"key": {"kind": "a", "n": 2, "own": {"x": 2}}, "value": None, "why": "no", "odd": True},
    {"key": {"kind": "b", "n": 3}, "value": 7, "history": [1.0, None], "odd": "text"},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "run", {"seed": 0}) as store:
        for row in ROWS:
            store.add(row)
    return tmp_path / "run"


def test_json_lines_are_the_rows(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.runs.export.STEP", 2)
    path = export_rows(run, run.parent / "new" / "rows.jsonl")
    assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS == read_rows(run)


def test_parquet_has_a_column_per_field(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("foretell.runs.export.STEP", 2)
    frame = pd.read_parquet(export_rows(run, run.parent / "rows.parquet"))
    frame = frame.astype(object).where(frame.notna(), None)
    assert frame["key.n"].tolist() == [1, 2, 3]
    assert frame["key.kind"].tolist() == ["a", "a", "b"]
    assert frame["key.own"].tolist() == ['{"x":1}', '{"x":2}', None]
    assert frame["value"].dropna().tolist() == [1.5, 7.0]
    assert frame["why"].tolist() == [None, "no", None]
    assert frame["history"].tolist() == [None, None, "[1.0,null]"]
    assert frame["odd"].tolist() == [str(2**70), "true", '"text"']


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_run_without_rows_is_an_empty_file(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    Store.open(tmp_path / "run", {}).close()
    path = export_rows(tmp_path / "run", tmp_path / f"rows{suffix}")
    assert path.read_bytes() == b"" if suffix == ".jsonl" else pd.read_parquet(path).empty


def test_what_is_refused_leaves_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage_row(run, 2, b"no row")
    before = sorted(run.parent.rglob("*"))
    for path, said in (("rows.csv", "neither .jsonl nor .parquet"), ("a/rows.jsonl", "row 2 is")):
        with pytest.raises(ForetellError, match=said):
            export_rows(run, run.parent / path)
        assert main(["report", str(run), "--rows", str(run.parent / path)]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert [path for path in sorted(run.parent.rglob("*")) if path.name != ".check"] == before
    assert main(["report", str(run), "--rows", "rows.jsonl", "--out", "page"]) == 2
    assert "leave out --out" in capsys.readouterr().err


def test_the_command_says_where_the_rows_are(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run.parent / "rows.jsonl"
    assert main(["report", str(run), "--rows", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert len(path.read_text().splitlines()) == 3
