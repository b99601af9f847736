"""The store keeps what it was given, despite kills, damage, and full disks."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.errors import ForetellError, RunStateError
from foretell.files import new_draft, write_atomically
from foretell.runs.config import RUN, read_config
from foretell.runs.kept import KEPT, record_rows
from foretell.runs.rowfile import DAMAGED, LOG, ROWS, RowFile, write_rows
from foretell.runs.store import RunRows, Store, read_rows
from tests.support.processes import PATIENCE
from tests.support.rows import damage_row, lines_of

CONFIG = {"seed": 0, "train": {"epochs": 3, "lr": 0.1}}

scalars = st.none() | st.booleans() | st.integers() | st.text()
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | finite,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.text().filter(lambda name: name not in ("key", "crc"))
rows = st.builds(
    lambda key, fields: {"key": key, **fields},
    st.dictionaries(st.text(), values, max_size=3),
    st.dictionaries(names, values, max_size=3),
)


def row(number: int) -> dict[str, Any]:
    return {"key": {"arch": [number, 1], "proxy": "snïp"}, "value": number / 3, "why": None}


def write(folder: Path, count: int) -> list[dict[str, Any]]:
    made = [row(number) for number in range(count)]
    with Store.open(folder, CONFIG) as store:
        for each in made:
            store.add(each)
    return made


def text_of(key: Any) -> str:
    return json.dumps(key, sort_keys=True)


@given(st.lists(rows, max_size=6, unique_by=lambda made: text_of(made["key"])))
@settings(max_examples=60, deadline=None)
def test_rows_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    with Store.open(folder, CONFIG) as store:
        for each in made:
            assert each["key"] not in store
            store.add(each)
            assert store.get(each["key"]) == each
        assert list(store) == made
    assert read_rows(folder) == made
    with Store.open(folder, CONFIG) as store:
        assert list(store) == made
        assert (store.notice, len(store)) == ("", len(made))


def test_keys_are_the_same_in_any_order_and_as_tuples(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run", CONFIG) as store:
        store.add({"key": {"a": (1, 2), "b": "x"}, "value": 1.0})
        assert {"b": "x", "a": [1, 2]} in store
        assert {"b": "x", "a": [2, 1]} not in store
        assert store.get({"a": [1, 2]}) is None


def test_adding_again_writes_nothing_and_other_values_are_refused(tmp_path: Path) -> None:
    made = write(tmp_path, 2)
    before = (tmp_path / ROWS).read_bytes()
    with Store.open(tmp_path, CONFIG) as store:
        store.add(made[0])
        with pytest.raises(ForetellError, match=r"other values for .*\"arch\":\[1,1\]"):
            store.add({**made[1], "value": 99.0})
        assert list(store) == made
    assert (tmp_path / ROWS).read_bytes() == before


@pytest.mark.parametrize(
    "bad",
    [
        {"value": 1.0},
        {"key": "snip"},
        {"key": {"a": 1}, "crc": "0"},
        {"key": {"a": 1}, "value": float("nan")},
        {"key": {"a": float("inf")}},
        {"key": {"a": 1}, "value": object()},
    ],
)
def test_what_is_no_row_is_refused_and_leaves_no_trace(tmp_path: Path, bad: Any) -> None:
    with Store.open(tmp_path, CONFIG) as store:
        with pytest.raises(ForetellError, match=r"the row has the fields|write None"):
            store.add(bad)
        assert list(store) == []
    assert lines_of(tmp_path) == []


def test_what_a_killed_writer_had_not_committed_is_rolled_back(tmp_path: Path) -> None:
    """Half of the pages of a large transaction are in the file, and their old content beside it."""
    made = write(tmp_path / "run", 40)
    file = tmp_path / "run" / ROWS
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
        writer.execute("BEGIN")
        for number in range(1000):
            writer.execute(
                "INSERT INTO rows (key, line) VALUES (?, ?)", (b"%d" % number, b"x" * 99)
            )
        shutil.copytree(tmp_path / "run", tmp_path / "killed")
    for folder, use in (("reading", read_rows), ("writing", reopened)):
        copy = shutil.copytree(tmp_path / "killed", tmp_path / folder)
        assert (copy / ROWS).read_bytes() != (tmp_path / "run" / ROWS).read_bytes()
        assert use(copy) == made
        assert lines_of(copy) == lines_of(tmp_path / "run")
    journal = (tmp_path / "killed" / f"{ROWS}-journal").read_bytes()
    for size in range(0, len(journal), len(journal) // 9):  # the disk lied about what was on it
        copy = shutil.copytree(tmp_path / "killed", tmp_path / str(size))
        (copy / f"{ROWS}-journal").write_bytes(journal[:size])
        noticed(lambda copy=copy: read_rows(copy), made)  # type: ignore[misc]
        assert set(map(text_of, reopened(copy))) <= set(map(text_of, made))


def reopened(folder: Path) -> list[Any]:
    """The rows of a run that is opened for writing."""
    with Store.open(folder, CONFIG) as store:
        return list(store)


def noticed(read: Callable[[], Any], made: list[Any]) -> bool:
    """Whether damage is refused in one line; if it is not, what is read must be what was made."""
    try:
        found = read()
    except RunStateError as error:
        return error.reason == "damaged" and "\n" not in str(error)
    assert found == made
    return False


def test_every_changed_byte_of_a_row_is_noticed(tmp_path: Path) -> None:
    made = write(tmp_path, 3)
    whole, line = (tmp_path / ROWS).read_bytes(), lines_of(tmp_path)[1]
    for at in range(len(line)):
        changed = bytearray(line)
        changed[at] = ord("7") if changed[at] != ord("7") else ord("8")
        damage_row(tmp_path, 2, bytes(changed))
        with pytest.raises(RunStateError, match=f"{ROWS} is damaged: row 2 is damaged; resume the"):
            read_rows(tmp_path)
        if at % 9 == 0:
            with Store.open(tmp_path, CONFIG) as store:
                assert list(store) == [made[0], made[2]]
                assert "row 2 is damaged; 2 rows remain, the others are computed" in store.notice
                assert DAMAGED in store.notice
            assert bytes(changed) in (tmp_path / DAMAGED).read_bytes()
            with Store.open(tmp_path, CONFIG) as store:  # named once, then gone
                assert store.notice == ""
                store.add(made[1])
            assert read_rows(tmp_path) == [made[0], made[2], made[1]]
            record_rows(tmp_path, 0)
        (tmp_path / ROWS).write_bytes(whole)


@pytest.mark.parametrize("line", [None, "text", 7, b"", b"no row", b"\x80" * 40])
def test_whatever_is_in_place_of_a_row_is_damage(line: object, tmp_path: Path) -> None:
    made = write(tmp_path, 3)
    if line is None:
        with closing(sqlite3.connect(tmp_path / ROWS)) as db, db:
            db.execute("DELETE FROM rows WHERE number = 2")
    else:
        damage_row(tmp_path, 2, line)
    with pytest.raises(RunStateError, match=rf"{ROWS} is damaged: row 2 is (damaged|missing)"):
        read_rows(tmp_path)
    assert reopened(tmp_path) == [made[0], made[2]]


def test_a_row_under_the_key_of_another_is_damage(tmp_path: Path) -> None:
    write(tmp_path, 3)
    with closing(sqlite3.connect(tmp_path / ROWS)) as db, db:
        (digest,) = db.execute("SELECT key FROM rows WHERE number = 1").fetchone()
        db.execute("DELETE FROM rows WHERE number = 1")
        db.execute("UPDATE rows SET number = number - 1")
        db.execute("UPDATE rows SET key = ? WHERE number = 1", (digest,))
    with pytest.raises(RunStateError, match="row 1 is damaged"):
        read_rows(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"SQLite", b"no database" * 999, bytes(8192), b"SQLite format 3\0" + b"\xff" * 9999],
    ids=["empty", "short", "text", "zeros", "noise"],
)
def test_a_file_that_is_no_database_is_damage(content: bytes, tmp_path: Path) -> None:
    made = write(tmp_path, 3)
    (tmp_path / ROWS).write_bytes(content)
    with pytest.raises(RunStateError, match=rf"{ROWS} is damaged: .*; resume the run to") as caught:
        read_rows(tmp_path)
    assert "\n" not in str(caught.value)
    with Store.open(tmp_path, CONFIG) as store:
        assert f"{ROWS} is damaged: " in store.notice
        for each in made:
            store.add(each)
    assert read_rows(tmp_path) == made


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END",
        "CREATE TABLE other (a)",
        "ALTER TABLE rows ADD COLUMN a",
    ],
)
def test_a_database_of_another_making_is_damage(change: str, tmp_path: Path) -> None:
    """It could otherwise do things of its own whenever a row is added."""
    made = write(tmp_path, 3)
    with closing(sqlite3.connect(tmp_path / ROWS)) as db, db:
        db.execute(change)
    with pytest.raises(RunStateError, match="its schema has changed"):
        read_rows(tmp_path)
    assert reopened(tmp_path) == made


def test_a_lost_end_or_page_is_noticed_and_the_rest_remains(tmp_path: Path) -> None:
    """A page in the middle costs its own rows and not those after it."""
    made = write(tmp_path, 400)
    whole, texts = (tmp_path / ROWS).read_bytes(), [text_of(each) for each in made]
    dice = random.Random(0)
    kept = set()
    for size in (1, 100, 4096, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        (tmp_path / ROWS).write_bytes(whole[:size])
        assert noticed(lambda: read_rows(tmp_path), made)
        kept.add(len(assert_part_remains(tmp_path, texts)))
    for page in range(len(whole) // 4096):
        lost = bytearray(whole)
        lost[page * 4096 : (page + 1) * 4096] = dice.randbytes(4096)
        (tmp_path / ROWS).write_bytes(lost)
        assert noticed(lambda: read_rows(tmp_path), made)
        found = assert_part_remains(tmp_path, texts)
        assert len(found) > 300 or page == 1, page  # that is the root of the table
    assert len(kept) > 3


def assert_part_remains(folder: Path, texts: list[str]) -> list[str]:
    """After the file is opened for writing, its rows are some of these, in their order."""
    found = list(map(text_of, reopened(folder)))
    assert found == [text for text in texts if text in set(found)]
    assert read_rows(folder) is not None
    record_rows(folder, len(texts))
    return found


def test_damage_of_a_large_file_is_found_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read as a whole when it is opened, unless a reader has found it damaged."""
    monkeypatch.setattr("foretell.runs.store.SMALL", 0)
    made = write(tmp_path, 5)
    damage_row(tmp_path, 3, b"no row")
    with Store.open(tmp_path, CONFIG) as store:
        assert store.notice == ""
        assert made[1]["key"] in store
        assert made[2]["key"] not in store
        assert "row 3 is damaged" in store.notice
        assert list(store) == [*made[:2], *made[3:]]
        store.add(made[2])
    damage_row(tmp_path, 3, b"no row")
    with Store.open(tmp_path, CONFIG) as store:
        found = iter(store)
        assert [next(found) for _ in range(4)] == [made[0], made[1], made[4], made[2]]
    damage_row(tmp_path, 4, b"no row")
    with pytest.raises(RunStateError, match="row 4 is damaged"):
        read_rows(tmp_path)
    with Store.open(tmp_path, CONFIG) as store:
        assert "row 4 is damaged" in store.notice
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", KEPT, DAMAGED, ROWS, RUN
    ]  # fmt: skip


def as_log(folder: Path, lines: list[bytes], end: bytes = b"") -> bytes:
    """Give the run the file of an earlier version in place of its own; return its content."""
    content = b"".join(line + b"\n" for line in lines) + end
    (folder / LOG).write_bytes(content)
    (folder / ROWS).unlink(missing_ok=True)
    return content


def test_the_log_of_an_earlier_version_is_read_and_converted(tmp_path: Path) -> None:
    """Reading leaves it as it is; a writer keeps it beside the new file."""
    made = write(tmp_path, 4)
    lines = lines_of(tmp_path)
    for end, count in ((b"", 4), (lines[3][:-9], 4), (b"torn", 4)):
        content = as_log(tmp_path, lines, end)
        assert read_rows(tmp_path) == made
        assert RunRows(tmp_path).get(made[2]["key"]) == made[2]
        assert RunRows(tmp_path).get({}) is None
        assert not (tmp_path / ROWS).exists()
        with Store.open(tmp_path, CONFIG) as store:
            assert (list(store), store.notice) == (made[:count], "")
        assert (tmp_path / LOG).read_bytes() == content
        assert lines_of(tmp_path) == lines
    as_log(tmp_path, lines[:3], lines[3])  # it lacks only the end of its last line
    assert reopened(tmp_path) == made
    as_log(tmp_path, lines[:2])
    with pytest.raises(RunStateError, match="lacks 2 of its 4 rows; resume"):
        read_rows(tmp_path)
    with Store.open(tmp_path, CONFIG) as store:
        assert "lacks 2 of its 4 rows, which are computed again" in store.notice


def test_damaged_lines_of_an_earlier_version_are_named(tmp_path: Path) -> None:
    made = write(tmp_path / "run", 4)
    with Store.open(tmp_path / "other", CONFIG) as store:
        store.add({**made[0], "value": 99.0})
    folder, lines = tmp_path / "run", lines_of(tmp_path / "run")
    (other,) = lines_of(tmp_path / "other")
    for changed, said in (
        (
            [lines[0], b"no row", lines[2], b'{"crc":"x"}', lines[3]],
            "line 2 is damaged (and 1 more)",
        ),
        ([*lines, other, lines[0]], "line 5 contradicts an earlier line"),
    ):
        as_log(folder, changed)
        with pytest.raises(RunStateError, match=re.escape(f"{LOG} is damaged: {said}; resume")):
            read_rows(folder)
        with Store.open(folder, CONFIG) as store:
            assert f"{LOG} is damaged: {said}, which is computed again" in store.notice
            assert list(store) == [row for row in made if row != made[1] or "line 5" in said]


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    write(tmp_path, 1)
    before = (tmp_path / RUN).read_bytes()
    other = {"train": {"epochs": 5, "lr": 0.1}, "seed": 0, "space": "nb201"}
    with pytest.raises(ForetellError) as caught:
        Store.open(tmp_path, other)
    said = str(caught.value)
    assert "train.epochs was 3, now 5" in said
    assert 'space was absent, now "nb201"' in said
    assert "seed" not in said
    assert "lr" not in said
    assert "--run" in said
    assert (tmp_path / RUN).read_bytes() == before
    assert read_config(tmp_path) == CONFIG


def test_equal_settings_continue_in_any_order_and_as_tuples(tmp_path: Path) -> None:
    Store.open(tmp_path, {"a": (1, 2), "b": 1}).close()
    with Store.open(tmp_path, {"b": 1, "a": [1, 2]}) as store:
        assert list(store) == []


def test_a_run_without_results_takes_other_settings(tmp_path: Path) -> None:
    """Whoever stops a wrong command at once may run the right one; what the wrong one kept goes."""
    with Store.open(tmp_path, {"seed": 0}) as store:
        store.keep("table.parquet", b"of the wrong one")
    with Store.open(tmp_path, CONFIG) as store:
        assert store.notice == ""
    assert read_config(tmp_path) == CONFIG
    assert not (tmp_path / "table.parquet").exists()
    write(tmp_path, 1)
    for lost in ("", ROWS):  # a run whose rows are lost had results
        (tmp_path / lost).unlink() if lost else None
        with pytest.raises(ForetellError, match="made with other settings"):
            Store.open(tmp_path, {"seed": 0})


@pytest.mark.parametrize("path", ["new/run", "new/below/run"])
def test_a_folder_that_cannot_be_a_run_is_not_made(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor those above it."""

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("foretell.runs.store.acquired", refuse)
    with pytest.raises(ForetellError, match="cannot write"):
        Store.open(tmp_path / path, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(ForetellError, match=r"is not a run: .* contains thesis.tex; give a new"):
        Store.open(tmp_path, CONFIG)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ForetellError, match="is not a run"):
        read_rows(tmp_path)
    with pytest.raises(ForetellError, match="is not a run"):
        read_config(tmp_path / "absent")


@pytest.mark.filterwarnings("ignore:.* recorded no checksums")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": 2, "config": {}}', "format 2, but this version of foretell reads format 1"),
        ('{"format": 1}', "is damaged; restore it"),
        ('{"format": 1, "con', "is damaged; restore it"),
    ],
)
def test_a_run_file_that_is_not_ours_to_read_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    write(tmp_path, 1)
    (tmp_path / KEPT).unlink()
    (tmp_path / RUN).write_text(text)
    for use in (lambda: Store.open(tmp_path, CONFIG), lambda: read_rows(tmp_path)):
        with pytest.raises(ForetellError, match=said):
            use()
    (tmp_path / RUN).write_text(json.dumps({"format": 1, "config": CONFIG}))
    assert len(read_rows(tmp_path)) == 1


def test_a_path_below_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ForetellError, match=r"^cannot write .*; choose another --run folder$"):
            Store.open(path, CONFIG)


def test_a_folder_we_may_not_write_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ForetellError, match=r"cannot write .*Permission denied; choose another"):
        Store.open(tmp_path / "run", CONFIG)


LIGHT = f"""
import sys, types
package = types.ModuleType("foretell")
package.__path__ = {list(foretell.__path__)!r}
sys.modules["foretell"] = package  # the package itself would import torch, the store need not
"""


def script(body: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LIGHT + body, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HOLD = """
from foretell.runs.store import Store
with Store.open(sys.argv[1], {"seed": 0}) as store:
    store.add({"key": {"by": "other"}, "value": 1})
    print("open", flush=True)
    sys.stdin.read() if len(sys.argv) < 3 else __import__("time").sleep(60)
"""


@pytest.fixture
def other_writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with script(HOLD, tmp_path / "run", "stay") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield other
        other.kill()


def test_a_second_writer_is_refused_until_the_first_is_gone(
    tmp_path: Path, other_writer: subprocess.Popen[str]
) -> None:
    with pytest.raises(ForetellError, match=r"another process is writing to .*run; wait"):
        Store.open(tmp_path / "run", {"seed": 0})
    assert [each["value"] for each in read_rows(tmp_path / "run")] == [1]  # reading is free
    other_writer.kill()
    other_writer.wait(PATIENCE)
    with Store.open(tmp_path / "run", {"seed": 0}) as store:
        assert {"by": "other"} in store
        with pytest.raises(ForetellError, match="another process"):
            Store.open(tmp_path / "run", {"seed": 0})


COUNT = """
from foretell.runs.store import Store
with Store.open(sys.argv[1], {"seed": 0}) as store:
    for number in range(int(sys.argv[2])):
        store.add({"key": {"number": number}, "value": number / 7, "pad": "x" * 3000})
        print(number, flush=True)
"""


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    rng, wanted, kills = random.Random(0), 600, 0
    while True:
        with script(COUNT, tmp_path, wanted) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            assert first == "0\n", writer.stderr and writer.stderr.read()
            stop_at = None if kills >= 12 else rng.randrange(kills * 40 + 1, kills * 40 + 40)
            told = 0
            while line := writer.stdout.readline():
                told = int(line)
                if told == stop_at:
                    time.sleep(rng.random() * 0.002)
                    writer.send_signal(signal.SIGKILL)
                    kills += 1
        kept = [each["key"]["number"] for each in read_rows(tmp_path)]
        assert kept == list(range(len(kept)))
        assert len(kept) > told
        if writer.returncode == 0:
            break
        assert writer.returncode == -signal.SIGKILL
    assert kills >= 10
    assert len(kept) == wanted
    assert not (tmp_path / DAMAGED).exists()


LIMIT = """
import resource
from foretell.errors import ForetellError
from foretell.runs.store import Store
with Store.open(sys.argv[1], {"seed": 0}) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (30000, resource.RLIM_INFINITY))
    added = 0
    try:
        while True:
            store.add({"key": {"number": added}, "pad": "x" * 300})
            added += 1
    except ForetellError as error:
        print(error)
    assert len(store) == added
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    store.add({"key": {"number": added}, "pad": "x" * 300})
    print(added, len(store))
"""


def test_a_full_disk_is_one_line_and_the_store_stays_whole(tmp_path: Path) -> None:
    with script(LIMIT, tmp_path) as writer:
        out, error = writer.communicate(timeout=PATIENCE)
    assert error == ""
    said, counts = out.splitlines()
    assert said.startswith(f"cannot write {tmp_path / ROWS}: disk I/O error; ")
    assert said.endswith("free some space and run again")
    added, count = map(int, counts.split())
    assert count == added + 1 > 20
    assert [each["key"]["number"] for each in read_rows(tmp_path)] == list(range(count))


@pytest.mark.parametrize("after", [False, True])
def test_a_row_is_kept_when_ctrl_c_interrupts_its_commit(
    after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written when the store is closed, also if it was already committed."""
    append = RowFile.append

    def stop(file: RowFile, lines: dict[bytes, bytes]) -> None:
        if after:
            append(file, lines)
        raise KeyboardInterrupt

    made = write(tmp_path, 2)
    with Store.open(tmp_path, CONFIG) as store:
        with monkeypatch.context() as broken:
            broken.setattr(RowFile, "append", stop)
            with pytest.raises(KeyboardInterrupt):
                store.add(row(2))
        store.add(row(3))
    assert read_rows(tmp_path) == [*made, row(2), row(3)]


def test_rows_of_a_group_are_committed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it ends, even by an error, and earlier if they are many or wait for long."""

    def there() -> int:
        return len(lines_of(tmp_path))

    with Store.open(tmp_path, CONFIG) as store:
        with store.group():
            for number in range(255):
                store.add(row(number))
            assert there() == 0
            assert len(store) == 255
            assert store.get(row(7)["key"]) == row(7)
            store.add(row(7))
            with pytest.raises(ForetellError, match="other values"):
                store.add({**row(7), "value": 9})
            store.add(row(255))
            assert there() == 256
            store.add(row(256))
        assert there() == 257
        with suppress(KeyboardInterrupt), store.group():
            store.add(row(257))
            raise KeyboardInterrupt
        assert there() == 258
        monkeypatch.setattr("foretell.runs.store.LONGEST", -1.0)
        with store.group():
            store.add(row(258))
            assert there() == 259
            assert list(store) == read_rows(tmp_path)
        store.add(row(259))
        assert there() == 260


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """It syncs the file and its journal, and the journal is no write-ahead log."""
    with Store.open(tmp_path, CONFIG) as store:
        settings = [store._file._read(f"PRAGMA {name}") for name in ("synchronous", "journal_mode")]
        assert settings == [[(2,)], [("persist",)]]


def test_a_reader_sees_what_is_committed_while_another_reads(tmp_path: Path) -> None:
    """And a writer commits while a reader has read only some rows."""
    made = write(tmp_path, 3)
    with Store.open(tmp_path, CONFIG) as store:
        reading = iter(RunRows(tmp_path))
        assert next(reading) == made[0]
        store.add(row(3))
        assert [*reading] == [*made[1:], row(3)]
        assert read_rows(tmp_path) == [*made, row(3)]


def test_write_atomically_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", full)
        with pytest.raises(ForetellError, match="No space left on device; free some space"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_lost_rows_are_counted_in_a_run_that_was_closed(tmp_path: Path) -> None:
    """Unlike a writer that was killed, whose rows are no fewer than were acknowledged."""
    made = write(tmp_path, 4)
    write_rows(tmp_path, lines_of(tmp_path)[:3])
    with pytest.raises(ForetellError, match=rf"{ROWS} lacks 1 of its 4 rows; resume"):
        read_rows(tmp_path)
    with Store.open(tmp_path, CONFIG) as store:
        assert store.notice == f"{tmp_path / ROWS} lacks 1 of its 4 rows, which are computed again"
        store.add(made[3])
    assert read_rows(tmp_path) == made


def test_what_a_living_writer_has_begun_is_not_swept_up(tmp_path: Path) -> None:
    draft, file = new_draft(tmp_path / "a.pt")
    write_atomically(tmp_path / "b.pt", b"other")
    assert draft.exists()
    os.close(file)  # as a kill does
    write_atomically(tmp_path / "b.pt", b"another")
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.pt"]


def test_drafts_of_a_killed_writer_are_swept_up(tmp_path: Path) -> None:
    (tmp_path / f".{RUN}.0badcafe.tmp").write_text("{")
    write(tmp_path, 1)
    (tmp_path / f".{ROWS}.0badcafe.tmp").write_text("{")
    write(tmp_path, 1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", KEPT, ROWS, RUN]
