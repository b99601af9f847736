"""Runs with faults: kills at any instant, full disks, truncated and damaged rows, malicious files.

Finished results remain, nothing exists twice, and in the end the rows are those of an undisturbed
run. `faulty.py` causes the faults.
"""

import hashlib
import json
import os
import pickle
import random
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from foretell import ForetellError, load_chosen, load_data
from foretell.runs.kept import KEPT
from foretell.runs.rowfile import DAMAGED, ROWS
from foretell.runs.store import Store, read_rows
from foretell.searching.retrain import retrain
from foretell.tables import Table, write_table
from foretell.training.settings import TrainSettings
from foretell.training.train import Epoch, train
from tests.support.faulty import Ended, Forks
from tests.support.processes import finished
from tests.support.rows import damage_row, lines_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches Linux's processes")

SPACE = "nb201?channels=4,cells=1"
TINY = ["--space", SPACE, "--batch-size", "16", "--csv"]
TRAINING = ["--epochs", "2", "--train-batch-size", "512"]
CELLS = ["333013", "111111", "222222", "123123", "303303", "232323"]
JOBS = ["study", "search"]
WEIGHTS = r"\.[0-9a-f]{16}\.pt\."
"""The draft of the file of a trained network."""


def command(job: str, folder: Path, workers: int = 1) -> list[str]:
    """A study of six cells by two proxies, or a search that trains two or three networks."""
    common = [*TINY, "--run", str(folder), "--workers", str(workers)]
    if job == "study":
        table = folder.parent / "table.parquet"
        if not table.exists():
            frame = pd.DataFrame({"accuracy": range(len(CELLS))}, index=CELLS, dtype=float)
            write_table(Table("mine", "nb201", frame, reporting=("accuracy",)), table)
        return ["study", str(table), *common, "--proxies", "snip,params"]
    return ["search", *common, "--pool", "5", "--trainings", "2", "--proxies", "synflow", *TRAINING]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as process:
        yield process


@pytest.fixture(scope="module")
def calm(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An undisturbed run of each job."""
    folders = {}
    for job in JOBS:
        folders[job] = tmp_path_factory.mktemp(job) / "run"
        ended = forks.run(command(job, folders[job]), folders[job])
        assert (ended.code, ended.err) == (0, "")
    return folders


def comparable(folder: Path) -> list[str]:
    """All rows in sorted order, without times."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(folder)]
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def assert_each_once(folder: Path) -> None:
    keys = [json.dumps(json.loads(line)["key"], sort_keys=True) for line in lines_of(folder)]
    assert len(set(keys)) == len(keys)


def assert_as_undisturbed(folder: Path, calm: Path) -> None:
    """The rows and the chosen network are the same."""
    assert comparable(folder) == comparable(calm)
    assert_each_once(folder)
    assert not (folder / DAMAGED).exists()
    if (calm / "chosen.pt").exists():
        expected, found = (load_chosen(path).state_dict() for path in (calm, folder))
        assert all(tensor.equal(found[name]) for name, tensor in expected.items())


def assert_one_line(ended: Ended, *said: str) -> None:
    """The exit code is 2, and there is one line on standard error that contains these texts."""
    assert ended.code == 2, ended.err
    assert ended.err.startswith("foretell: ")
    assert ended.err.count("\n") == 1, ended.err
    for part in said:
        assert part in ended.err


def disturbed(ended: Ended, folder: Path, before: list[bytes]) -> list[bytes]:
    """The finished rows after a fault: all that existed before it, and possibly more."""
    after = lines_of(folder)
    assert after[: len(before)] == before, ended.operations
    assert_each_once(folder)
    return after


IN_WORDS = {
    "study": [
        "open .lock",
        "write .run.json",
        "replace .run.json",
        "write .*table.parquet",
        "replace .*table.parquet",
        "write .rows.sqlite",
        "replace .rows.sqlite",
        "open rows.sqlite-journal",
        "write rows.sqlite-journal",
        "write rows.sqlite$",
        "unlink rows.sqlite-journal",
    ],
    "search": [
        "mkdir networks",
        "write .*unfinished",
        "replace .*unfinished",
        "fsync networks",
        "unlink .*unfinished",
        f"write {WEIGHTS}",
        "write .chosen.pt",
        "replace .chosen.pt",
        "write .chosen.json",
        "replace .chosen.json",
    ],
}


@pytest.mark.parametrize("job", JOBS)
def test_killed_at_any_instant_it_ends_as_undisturbed(
    job: str, forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """At 24 random operations, and at each special one: incomplete rows, drafts, checkpoints."""
    dice, folder, kills = random.Random(7), tmp_path / "run", 0
    instants: list[int | str] = [dice.randint(1, 40) for _ in range(24)]
    kept: list[bytes] = []
    for at in [*instants, None, *IN_WORDS[job], None]:
        if at == IN_WORDS[job][0]:
            shutil.rmtree(folder)
            kept = []
        ended = forks.run(command(job, folder), folder, at)
        kept = disturbed(ended, folder, kept)
        if ended.code == 0:
            assert_as_undisturbed(folder, calm[job])
        else:
            assert ended.code == -signal.SIGKILL, ended.err
            kills += 1
        if ended.code == 0 and at in instants:  # it ended before it could be killed
            shutil.rmtree(folder)
            kept = []
    assert kills > 25
    assert_as_undisturbed(folder, calm[job])


def test_killed_with_its_workers_it_ends_as_undisturbed(
    forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """It is killed while one worker trains and the weights of the other network are written."""
    folder = tmp_path / "run"
    killed = forks.run(command("search", folder, workers=2), folder, f"write {WEIGHTS}")
    assert killed.code == -signal.SIGKILL, killed.err
    kept = lines_of(folder)
    ended = forks.run(command("search", folder), folder)
    assert ended.code == 0, ended.err
    assert len(kept) >= 5
    disturbed(ended, folder, kept)
    assert_as_undisturbed(folder, calm["search"])


def test_workers_end_with_the_process_that_started_them(forks: Forks, tmp_path: Path) -> None:
    """Otherwise they would remain forever, for example if it is killed for lack of memory."""
    folder = tmp_path / "run"
    ended = forks.run(command("study", folder, workers=2), folder, "write rows.sqlite$", "orphan")
    assert ended.code == -signal.SIGKILL, ended.err
    try:
        patience = time.monotonic() + 20
        while (left := running(ended.process)) and time.monotonic() < patience:
            time.sleep(0.1)
        assert left == []
    finally:
        for process in running(ended.process):
            os.kill(process, signal.SIGKILL)


def running(group: int) -> list[int]:
    """The processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(of_group) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_finished_training_is_not_done_again(forks: Forks, tmp_path: Path) -> None:
    """A kill or a full disk comes between its last epoch and its row."""
    folder = tmp_path / "run"
    forks.run(command("search", folder), folder, f"write {WEIGHTS}")
    again = forks.run(command("search", folder), folder, f"replace {WEIGHTS}")
    assert again.code == -signal.SIGKILL, again.err
    assert not [done for done in again.operations if "unfinished" in done and "unlink" not in done]
    assert forks.run(command("search", folder), folder).code == 0
    anew = ["retrain", str(folder), *TRAINING]
    full = forks.run(anew, folder, r"open \.retrained\.pt", "full")
    assert_one_line(full, "No space left on device", "free some space and run again")
    assert sum(done.startswith("write .retrained.unf") for done in full.operations) == 2
    again = forks.run(anew, folder)
    assert again.code == 0, again.err
    assert not [done for done in again.operations if done.startswith("write .retrained.unf")]
    assert not list(folder.glob("**/*unfinished*"))


def test_what_killed_writers_left_is_swept_up(
    forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """Drafts of weights are large, and in the way especially on a full disk."""
    for job in JOBS:
        folder = tmp_path / job / "run"
        folder.parent.mkdir()
        for at in IN_WORDS[job]:
            forks.run(command(job, folder), folder, at)
        assert forks.run(command(job, folder), folder).code == 0
        files, expected = (
            sorted(str(path.relative_to(root)) for path in root.glob("**/*"))
            for root in (folder, calm[job])
        )
        assert files == expected


@pytest.mark.parametrize("job", JOBS)
def test_on_a_full_disk_it_stops_and_goes_on_when_there_is_space(
    job: str, forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """The disk is full from a random operation on, and from each special one."""
    dice, folder, stops = random.Random(3), tmp_path / "run", 0
    kept: list[bytes] = []
    for at in [*(dice.randint(1, 22) for _ in range(10)), *IN_WORDS[job], None]:
        ended = forks.run(command(job, folder), folder, at, "full")
        kept = disturbed(ended, folder, kept)
        if ended.code != 0:
            assert_one_line(ended, f"cannot write {tmp_path}", ": No space left on device; ")
            assert any(way in ended.err for way in ("free some space and run again", "make room"))
            stops += 1
    assert stops >= 7
    assert_as_undisturbed(folder, calm[job])


def test_a_full_disk_where_a_folder_is_to_be_made_is_told(forks: Forks, tmp_path: Path) -> None:
    """The folder of the trained networks cannot be created."""
    folder = tmp_path / "run"
    ended = forks.run(command("search", folder), folder, "mkdir networks", "full")
    assert_one_line(ended, f"cannot write {folder}", "free some space and run again")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    mount = shutil.which("mount")
    done = mount and finished(*mounting)
    if not done or done.returncode:
        pytest.skip(f"may not mount a small disk: {done and done.stderr.strip()}")
    try:
        yield place
    finally:
        assert finished("umount", "--lazy", str(place)).returncode == 0


def test_on_a_small_disk_it_stops_and_goes_on_when_there_is_space(
    small_disk: Path, forks: Forks, calm: dict[str, Path]
) -> None:
    """With between no page and half of the disk left, it becomes full at different files."""
    folder, filler, stops = small_disk / "run", small_disk / "filler", 0
    kept: list[bytes] = []
    for left in (0, 4, 8, 12, 100, 200):  # KiB
        disk = os.statvfs(small_disk)
        with filler.open("wb") as file:
            if (size := disk.f_bavail * disk.f_frsize - left * 1024) > 0:
                os.posix_fallocate(file.fileno(), 0, size)
        ended = forks.run(command("search", folder), folder)
        kept = disturbed(ended, folder, kept)
        filler.unlink()
        if ended.code != 0:
            assert_one_line(ended, "cannot write ", ": No space left on device; free some space")
            stops += 1
    assert stops >= 4
    assert forks.run(command("search", folder), folder).code == 0
    assert_as_undisturbed(folder, calm["search"])


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_each_write_of_the_database_may_be_the_last(
    fault: Any, forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """Until the end of the second commit: the rows of a network are all there, or none is."""
    folder, start = tmp_path / "run", tmp_path / "start"
    first = forks.run(command("study", start), start, "open rows.sqlite-journal")
    assert first.code == -signal.SIGKILL, first.err
    at, kept = 1, set[int]()
    while max(kept, default=0) < 4:
        at += 3 if fault == "kill" else 5
        copied = shutil.copytree(start, folder)
        ended = forks.run(command("study", folder), folder, at, fault)
        assert ended.code == (-signal.SIGKILL if fault == "kill" else 2), ended.err
        lines = lines_of(copied)
        assert len(lines) % 2 == 0  # both scores of a network
        kept.add(len(lines))
        assert forks.run(command("study", folder), folder, None).code == 0
        assert_as_undisturbed(folder, calm["study"])
        assert lines_of(folder)[: len(lines)] == lines
        shutil.rmtree(folder)
    assert kept == {0, 2, 4}
    assert at > 15


@pytest.mark.parametrize("job", JOBS)
def test_a_second_writer_is_refused_and_the_first_undisturbed(
    job: str, forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """The first process is stopped in the middle of writing a row."""
    folder = tmp_path / "run"
    assert forks.run(command(job, folder), folder, 22).code == -signal.SIGKILL
    first = forks.run(command(job, folder), folder, "write rows.sqlite$", "stop")
    assert first.stopped
    before = (folder / ROWS).read_bytes()
    second = forks.run(command(job, folder), folder)
    assert_one_line(second, f"another process is writing to {folder}; wait", "--run")
    assert not [done for done in second.operations if done.split()[0] not in ("mkdir", "open")]
    assert (folder / ROWS).read_bytes() == before
    woken = forks.go_on(first)
    assert (woken.code, woken.err) == (0, "")
    assert_as_undisturbed(folder, calm[job])


def test_of_two_retrainings_at_a_time_the_second_is_refused(
    forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """Both would write the same checkpoint and the same weights."""
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    anew = ["retrain", str(folder), *TRAINING]
    first = forks.run(anew, folder, "replace .*unfinished", "stop")
    assert first.stopped
    second = forks.run([*anew, "--seed", "1"], folder)
    woken = forks.go_on(first)
    assert woken.code == 0, woken.err
    assert_one_line(second, f"another process is writing to {folder}; wait")
    assert json.loads((folder / "retrained.json").read_text())["seed"] == 0


def flipped(line: bytes) -> bytes:
    return line[:40] + bytes([line[40] ^ 0x81, line[41] ^ 0xFF]) + line[42:]


def no_json(line: bytes) -> bytes:
    return b"Segmentation fault (core dumped)"


def other_value(line: bytes) -> bytes:
    """Valid JSON, with the checksum of the original row."""
    return line.replace(b'"seed":0', b'"seed":9')


def wrong_checksum(line: bytes) -> bytes:
    return b'{"crc":"00000000' + line[16:]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("damage", [flipped, no_json, other_value, wrong_checksum])
def test_a_damaged_row_is_named_and_computed_again(
    job: str,
    damage: Callable[[bytes], bytes],
    forks: Forks,
    calm: dict[str, Path],
    tmp_path: Path,
) -> None:
    """A score in the middle or a training near the end is damaged; the others do not change."""
    folder = shutil.copytree(calm[job], tmp_path / "run")
    lines = lines_of(calm[job])
    number = 3 if job == "study" else 1 + next(n for n, x in enumerate(lines) if b"history" in x)
    bad = damage(lines[number - 1])
    assert bad != lines[number - 1]
    damage_row(folder, number, bad)
    shutil.copy(calm[job].parent / "table.parquet", tmp_path) if job == "study" else None
    ended = forks.run(command(job, folder), folder)
    assert ended.code == 0, ended.err
    after = lines_of(folder)
    assert after[:-1] == [*lines[: number - 1], *lines[number:]]
    assert bad in (folder / DAMAGED).read_bytes()
    assert comparable(folder) == comparable(calm[job])
    said = f"foretell: {folder / ROWS} is damaged: row {number} is damaged; {len(after) - 1} rows"
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_a_fault_while_damage_is_set_aside_loses_nothing(
    fault: Any, forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """The fault comes at each operation in turn, until the run is open again."""
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    lines = lines_of(folder)
    good = [*lines[:2], *lines[3:]]
    damage_row(folder, 3, b"no row")
    at = 0
    while True:
        at += 1
        ended = forks.run(command("search", folder), folder, at, fault)
        kept = lines_of(folder)
        assert [line for line in kept if line in good] == good
        if any(done.startswith("open rows.sqlite-journal") for done in ended.operations):
            break
    assert at > 8
    assert forks.run(command("search", folder), folder).code == 0
    assert comparable(folder) == comparable(calm["search"])
    assert b"no row" in (folder / DAMAGED).read_bytes()


class Trap:
    """An object that creates a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('pathlib').Path({str(self.sprung)!r}).touch()",)


def traps(sprung: Path) -> list[bytes]:
    """Files that execute code if they are loaded carelessly: a plain pickle, and torch's format."""
    archive = BytesIO()
    torch.save({"about": Trap(sprung), "0.weight": torch.zeros(1)}, archive)
    bare = [pickle.dumps(Trap(sprung), protocol) for protocol in (0, 2)]
    for content in [*bare, archive.getvalue()]:
        with pytest.raises(Exception):  # noqa: B017, PT011 - any error after the trap
            torch.load(BytesIO(content), weights_only=False)["none"]
        assert sprung.exists()
        sprung.unlink()
    return [*bare, archive.getvalue()]


def test_chosen_weights_of_an_enemy_are_refused(calm: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    for content in traps(tmp_path / "sprung"):
        (folder / "chosen.pt").write_bytes(content)
        with pytest.raises(ForetellError, match=r"^.*chosen\.pt is damaged; .*$") as caught:
            load_chosen(folder)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("recorded", [True, False])
def test_weights_of_an_enemy_are_trained_again(
    recorded: bool, forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """Every file in the folder of trained networks is malicious, also in a run without a record."""
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    for content in traps(tmp_path / "sprung"):
        for path in (folder / "networks").iterdir():
            path.write_bytes(content)
        if not recorded:
            (folder / KEPT).unlink()
        ended = forks.run(command("search", folder), folder)
        assert ended.code == 0, ended.err
        assert ".pt is damaged; the network has been trained again" in ended.err
        assert not (tmp_path / "sprung").exists()
        assert_as_undisturbed(folder, calm["search"])


def test_trained_weights_that_are_gone_are_trained_again(
    forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    shutil.rmtree(folder / "networks")
    ended = forks.run(command("search", folder), folder)
    assert ended.code == 0, ended.err
    assert ".pt is missing; the network has been trained again" in ended.err
    assert_as_undisturbed(folder, calm["search"])


def test_a_checkpoint_of_an_enemy_is_begun_anew(
    forks: Forks, calm: dict[str, Path], tmp_path: Path
) -> None:
    """This holds for a search and a retraining, with and without a digest before it."""
    folder, sprung = tmp_path / "run", tmp_path / "sprung"
    bare = traps(sprung)
    for content in [bare[1], hashlib.sha256(bare[2]).digest() + bare[2]]:
        shutil.rmtree(folder, ignore_errors=True)
        assert forks.run(command("search", folder), folder, "fsync networks").code < 0
        (checkpoint,) = (folder / "networks").glob("*.unfinished.pt")
        checkpoint.write_bytes(content)
        (folder / "retrained.unfinished.pt").write_bytes(content)
        (folder / "retrained.pt").write_bytes(content)
        assert forks.run(command("search", folder), folder).code == 0
        assert_as_undisturbed(folder, calm["search"])
        ended = forks.run(["retrain", str(folder), *TRAINING], folder)
        assert ended.code == 0, ended.err
        assert not sprung.exists()
        torch.load(folder / "retrained.pt", weights_only=True)


def test_every_changed_byte_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    """The training then starts again; it never ends with other results or with an error."""
    data = load_data("digits")
    parts = {name: tuple(x[:60] for x in getattr(data, name)) for name in ("train", "val", "test")}
    few = replace(data, **parts)
    settings, kept = TrainSettings(epochs=2, batch_size=30, lr=0.1), tmp_path / "kept.pt"

    class Killed(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        raise Killed

    def trained(progress: Any = None) -> tuple[Epoch, ...]:
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return train(model, few, settings, 0, progress=progress, checkpoint=kept).history

    expected = trained()
    with pytest.raises(Killed):
        trained(kill)
    whole, dice = kept.read_bytes(), random.Random(0)
    pickled = whole.index(b"data.pkl")
    for number in range(60):
        changed = bytearray(whole)
        at = pickled + dice.randrange(1200) if number % 2 else dice.randrange(len(whole))
        changed[at] ^= 1 << dice.randrange(8)
        kept.write_bytes(changed)
        assert trained() == expected, at


def crc_line(body: bytes) -> bytes:
    """A line with a valid checksum and any content."""
    return b'{"crc":"%08x",%b' % (zlib.crc32(body), body[1:])


@pytest.mark.parametrize(
    "hostile",
    [
        pickle.dumps({"key": {}}),
        crc_line(b"{" + pickle.dumps([1]).replace(b"\n", b"") + b"}"),
        crc_line(b'{"key":null}'),
        crc_line(b'{"key":[1]}'),
        crc_line(b'{"value":1}'),
        crc_line(b'{"key":{"a":NaN}}'),
        crc_line(b'{"key":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}"),
        crc_line(b'{"key":{"a":' + b"9" * 5000 + b"}}"),
    ],
    ids=["pickle", "pickled", "null", "list", "none", "nan", "deep", "long"],
)
def test_a_row_of_an_enemy_is_damaged_and_no_more(hostile: bytes, tmp_path: Path) -> None:
    """This holds even if its checksum is valid."""
    row, other = ({"key": {"number": number}, "value": 1.5} for number in (1, 2))
    with Store.open(tmp_path, {}) as store:
        store.add(other)
        store.add(row)
    damage_row(tmp_path, 1, hostile)
    with pytest.raises(ForetellError, match=f"{ROWS} is damaged: row 1 is damaged"):
        read_rows(tmp_path)
    with Store.open(tmp_path, {}) as store:
        assert list(store) == [row]
        assert "row 1 is damaged" in store.notice


@pytest.mark.parametrize(
    "change",
    [
        [],
        None,
        {"weights": None},
        {"space": None},
        {"space": "os.system"},
        {"settings": {"cells": "__import__('os')"}},
        {"arch": 7},
        {"arch": "|none~0|"},
        {"seed": "zero"},
        {"weights": "absent.pt"},
    ],
    ids=str,
)
def test_what_is_said_of_the_chosen_network_is_not_trusted(
    change: Any, calm: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    about = json.loads((folder / "chosen.json").read_text())
    given = {**about, **change} if isinstance(change, dict) else change
    given = {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given
    (folder / "chosen.json").write_text(json.dumps(given))
    with pytest.raises(ForetellError) as caught:
        load_chosen(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("job", JOBS)
def test_weights_of_another_network_are_told(
    job: str, calm: dict[str, Path], tmp_path: Path
) -> None:
    """They are harmless tensors of another network, or not a dictionary of tensors at all."""
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    other = {"other": torch.zeros(3)} if job == "study" else [torch.zeros(3)]
    torch.save(other, folder / "chosen.pt")
    with pytest.raises(ForetellError, match=r"^.*chosen\.pt is damaged; .*$"):
        load_chosen(folder)


def test_a_retraining_of_an_enemys_choice_is_refused(calm: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(calm["search"], tmp_path / "run")
    (folder / "chosen.json").write_bytes(traps(tmp_path / "sprung")[1])
    with pytest.raises(ForetellError, match=r"chosen\.json is damaged"):
        retrain(folder, TrainSettings(epochs=1))
    assert not (tmp_path / "sprung").exists()
