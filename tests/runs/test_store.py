"""The store keeps what it was given, despite kills, torn or damaged lines, and full disks."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.errors import ForetellError
from foretell.files import new_draft, write_atomically
from foretell.runs.config import RUN, read_config
from foretell.runs.kept import KEPT, record_rows
from foretell.runs.store import DAMAGED, ROWS, Store, read_rows
from tests.support.processes import PATIENCE

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
        assert store.rows() == made
    assert read_rows(folder) == made
    with Store.open(folder, CONFIG) as store:
        assert store.rows() == made
        assert (store.repaired, store.notice, len(store)) == (0, "", len(made))


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
        assert store.rows() == made
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
        assert store.rows() == []
    assert (tmp_path / ROWS).read_bytes() == b""


def test_a_torn_end_is_cut_off_wherever_it_tears(tmp_path: Path) -> None:
    made = write(tmp_path, 4)
    whole = (tmp_path / ROWS).read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(ends[1], len(whole) + 1):
        (tmp_path / ROWS).write_bytes(whole[:size])
        record_rows(tmp_path, 0)  # a killed writer counts no rows
        # a line that lacks only its newline is whole
        kept = sum(size >= end - 1 for end in ends)
        assert read_rows(tmp_path) == made[:kept]
        with Store.open(tmp_path, CONFIG) as store:
            assert store.rows() == made[:kept]
            assert store.repaired == (size not in ends and size + 1 not in ends)
            assert store.notice == ""
            for each in made:
                store.add(each)
        assert (tmp_path / ROWS).read_bytes() == whole
    assert not (tmp_path / DAMAGED).exists()


def test_every_changed_byte_of_a_middle_line_is_noticed(tmp_path: Path) -> None:
    made = write(tmp_path, 3)
    whole = (tmp_path / ROWS).read_bytes()
    start, end = whole.index(b"\n") + 1, whole.rindex(b"\n", 0, -1)
    for at in range(start, end):
        changed = bytearray(whole)
        changed[at] = ord("7") if changed[at] != ord("7") else ord("8")
        (tmp_path / ROWS).write_bytes(changed)
        with pytest.raises(ForetellError, match=rf"{ROWS}:2 is damaged"):
            read_rows(tmp_path)
        with Store.open(tmp_path, CONFIG) as store:
            assert store.rows() == [made[0], made[2]]
            assert f"{ROWS}:2 is damaged" in store.notice
            assert DAMAGED in store.notice
            assert store.repaired == 0
        assert (tmp_path / DAMAGED).read_bytes().endswith(bytes(changed[start:end]) + b"\n")
        with Store.open(tmp_path, CONFIG) as store:  # named once, then gone
            assert store.notice == ""
            store.add(made[1])
        assert read_rows(tmp_path) == [made[0], made[2], made[1]]


def test_damaged_lines_are_kept_one_after_another(tmp_path: Path) -> None:
    write(tmp_path, 4)
    lines = (tmp_path / ROWS).read_bytes().splitlines(keepends=True)
    (tmp_path / ROWS).write_bytes(b"".join([lines[0], b"no row\n", lines[2], b'{"crc":"x"}\n']))
    with Store.open(tmp_path, CONFIG) as store:
        assert len(store) == 2
        assert f"{ROWS}:2 is damaged (and 1 more)" in store.notice
    (tmp_path / ROWS).write_bytes(b"neither\n" + lines[0])
    with Store.open(tmp_path, CONFIG) as store:
        assert len(store) == 1
    assert (tmp_path / DAMAGED).read_bytes() == b'no row\n{"crc":"x"}\nneither\n'


def test_two_lines_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    made = write(tmp_path / "a", 2)
    with Store.open(tmp_path / "b", CONFIG) as store:
        store.add({**made[0], "value": 99.0})
        store.add(made[1])
    both = (tmp_path / "a" / ROWS).read_bytes() + (tmp_path / "b" / ROWS).read_bytes()
    (tmp_path / "a" / ROWS).write_bytes(both)
    with Store.open(tmp_path / "a", CONFIG) as store:
        assert store.rows() == made  # the first stays; an equal second is no contradiction
        assert f"{ROWS}:3 contradicts an earlier line;" in store.notice


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
        assert store.rows() == []


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
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    added = 0
    try:
        while True:
            store.add({"key": {"number": added}, "pad": "x" * 300})
            added += 1
    except ForetellError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    store.add({"key": {"number": added}, "pad": "x" * 300})
    print(added, len(store))
"""


def test_a_full_disk_is_one_line_and_the_store_stays_whole(tmp_path: Path) -> None:
    with script(LIMIT, tmp_path) as writer:
        out, error = writer.communicate(timeout=PATIENCE)
    assert error == ""
    said, counts = out.splitlines()
    assert said.startswith(f"cannot write {tmp_path}: ")
    assert said.endswith("; free some space and run again")
    assert counts == "5 6"
    assert [each["key"]["number"] for each in read_rows(tmp_path)] == list(range(6))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("cut_fails", [False, True])
def test_half_a_line_never_stays_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, cut_fails: bool
) -> None:
    made = write(tmp_path, 2)
    before = (tmp_path / ROWS).read_bytes()
    written = os.write

    def stop_half_way(file: int, data: memoryview) -> int:
        if len(data) < 50:
            raise error
        return written(file, data[: len(data) // 2])

    def refuse(*_: int) -> None:
        raise OSError(5, "Input/output error")

    with Store.open(tmp_path, CONFIG) as store:
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", stop_half_way)
            if cut_fails:
                broken.setattr(os, "ftruncate", refuse)
            expected = ForetellError if isinstance(error, OSError) else KeyboardInterrupt
            with pytest.raises(expected):
                store.add(row(2))
        assert store.rows() == made
        assert read_rows(tmp_path) == made
        if not cut_fails:
            assert (tmp_path / ROWS).read_bytes() == before
        store.add(row(3))
    assert read_rows(tmp_path) == [*made, row(3)]


def test_a_row_counts_only_once_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")  # some file systems notice only now

    with Store.open(tmp_path, CONFIG) as store:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", full)
            with pytest.raises(ForetellError, match="No space left on device"):
                store.add(row(0))
        assert store.rows() == read_rows(tmp_path) == []


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


def test_a_lost_end_is_counted_in_a_run_that_was_closed(tmp_path: Path) -> None:
    """Unlike a writer that was killed, whose rows are no fewer than were acknowledged."""
    made = write(tmp_path, 4)
    whole = (tmp_path / ROWS).read_bytes()
    for size in range(len(whole) - 1):
        (tmp_path / ROWS).write_bytes(whole[:size])
        with pytest.raises(ForetellError, match=rf"{ROWS} lacks \d of its 4 rows; resume"):
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
