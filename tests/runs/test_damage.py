"""A changed bit or a lost end of any file of a run is noticed, and the command restores it."""

import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import pandas as pd
import pytest
import torch

from foretell import load_chosen, search
from foretell.errors import ForetellError, ForetellWarning, RunStateError
from foretell.files import write_atomically
from foretell.runs.config import read_config
from foretell.runs.kept import KEPT, keep, keep_pair, kept, parsed, read_record, written
from foretell.runs.rowfile import LOG, ROWS
from foretell.runs.store import Store, read_rows
from foretell.runs.tasks import Trials
from foretell.searching import chosen
from foretell.searching.read import read_search
from foretell.searching.retrain import retrain
from foretell.studies.read import read_study
from foretell.studies.run import run_study
from foretell.studies.searches import run_simulations
from foretell.studies.simulations import read_simulations
from foretell.tables import Table, write_table
from foretell.training.settings import TrainSettings

BEFORE = Path(__file__).parent / "before"
SHORT = TrainSettings(epochs=1, batch_size=512)
SPACE = "nb201?channels=2,cells=1"
CELLS = ["333013", "111111", "222222", "123123"]
FRAME = pd.DataFrame({"val": [1.0, 2.0, 3.0, 4.0], "took": [9.0, 8.0, 7.0, 6.0]}, index=CELLS)
TABLE = Table("four", "nb201", FRAME, choosing=("val",), cost=("took",))
FLIPS, CUTS = 60, 12
"""Of each file."""


@dataclass(frozen=True)
class Runs:
    """A folder with a run of each kind, the commands that made them, and their readers."""

    root: Path
    table: Path
    """A table of four cells, as a file."""

    def make(self, job: str) -> None:
        """Run the command of this kind, if necessary again."""
        if job == "search":
            small: dict[str, Any] = {"pool": 3, "trainings": 1, "batch_size": 8, "training": SHORT}
            search(SPACE, run=self.root / job, proxies=["synflow"], **small)
        elif job == "retrain":
            retrain(self.root / "search", SHORT)
        elif job == "study":
            small = {"space": SPACE, "batch_size": 8, "proxies": ["synflow"]}
            run_study(TABLE, "digits", run=self.root / job, **small)
        else:
            small = {"strategies": ["random"], "trainings": 2, "seeds": 1}
            small |= {"seconds": f"{self.table}:took"}
            run_simulations(self.root / "study", run=self.root / job, **small)

    def read(self, file: str) -> Any:
        """The values that the readers return for a file."""
        folder, _, name = file.partition("/")
        run = self.root / folder
        if folder == "search" and name.endswith(".pt") and "/" in name:
            return [kept(run, name)]
        if folder == "search":
            models = [load_chosen(run), load_chosen(run, retrained=True)]
            weights = [tensor for model in models for tensor in model.state_dict().values()]
            accuracy = chosen.read_chosen(run)["val_accuracy"]
            return [read_config(run), read_search(run).trained, accuracy, *weights]
        if folder == "study":
            rows = read_study(run)
            return [rows.config, rows.table.frame, *rows.runs]
        found = read_simulations(run)
        return [found.config, found.curves("val", "val"), found.benchmark.scores, found.seconds]


def same(found: Any, expected: Any) -> bool:
    """Whether two readings are equal."""
    if isinstance(expected, torch.Tensor):
        return torch.equal(found, expected)
    if isinstance(expected, pd.DataFrame | pd.Series):
        return expected.equals(found)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(found[name], value) for name, value in expected.items()
        )
    return bool(found == expected)


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk in these tests."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Finished ones, undisturbed."""
    table = tmp_path_factory.mktemp("table") / "four.parquet"
    write_table(TABLE, table)
    made = Runs(tmp_path_factory.mktemp("runs"), table)
    for job in ("search", "retrain", "study", "simulated"):
        made.make(job)
    return made


FILES = [
    *(f"{job}/{name}" for job in ("search", "study", "simulated") for name in ("run.json", KEPT)),
    *(f"{job}/{ROWS}" for job in ("search", "study", "simulated")),
    *(f"search/{name}.{end}" for name in ("chosen", "retrained") for end in ("pt", "json")),
    "search/networks/*.pt",
    "study/table.parquet",
    *(f"simulated/{name}.parquet" for name in ("table", "scores", "seconds")),
]


def one_of(runs: Runs, pattern: str) -> Path:
    """The file that matches a pattern; of the trained networks, that of the chosen one."""
    paths = sorted(runs.root.glob(pattern))
    weights = (runs.root / "search" / "chosen.pt").read_bytes()
    return next((path for path in paths if path.read_bytes() == weights), paths[0])


def copied(runs: Runs, tmp_path: Path) -> Runs:
    """A copy that can be damaged."""
    return Runs(shutil.copytree(runs.root, tmp_path / "runs"), runs.table)


def damages(whole: bytes, flips: int, cuts: int) -> list[bytes]:
    """The content with a bit flipped, or without its end."""
    dice, found = random.Random(len(whole)), []
    for _ in range(flips):
        changed = bytearray(whole)
        changed[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        found.append(bytes(changed))
    sizes = [0, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(cuts))]
    return found + [whole[:size] for size in sizes]


def test_every_file_of_the_runs_is_tried_here(runs: Runs) -> None:
    tried = {path for pattern in FILES for path in runs.root.glob(pattern)}
    there = {path for path in runs.root.glob("*/**/*") if path.is_file() and path.name != ".lock"}
    assert tried == there


def refused(read: Callable[[], object]) -> RunStateError | None:
    """The error with which a damaged file is refused; any other error fails the test."""
    try:
        read()
    except RunStateError as error:
        return error
    return None


@pytest.mark.parametrize("pattern", FILES)
def test_no_damage_is_unseen(pattern: str, runs: Runs, tmp_path: Path) -> None:
    """It is reported in one line that names the file, or does not change what is read."""
    mine = copied(runs, tmp_path)
    path = one_of(mine, pattern)
    file, whole = path.relative_to(mine.root).as_posix(), path.read_bytes()
    expected, unseen = runs.read(file), 0
    for content in damages(whole, FLIPS, CUTS):
        path.write_bytes(content)
        if (said := refused(lambda: mine.read(file))) is None:
            unseen += not same(mine.read(file), expected)
        else:
            assert said.reason == "damaged"
            assert path.name in str(said)
            assert "\n" not in str(said)
    assert unseen == 0


@pytest.mark.parametrize("pattern", FILES)
@pytest.mark.parametrize("lost", ["bit", "end"])
def test_the_same_command_mends_it(pattern: str, lost: str, runs: Runs, tmp_path: Path) -> None:
    mine = copied(runs, tmp_path)
    path = one_of(mine, pattern)
    file, whole = path.relative_to(mine.root).as_posix(), path.read_bytes()
    at = len(whole) // 2
    flipped = whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]
    path.write_bytes(flipped if lost == "bit" else whole[:at])
    folder = file.partition("/")[0]
    mine.make("retrain" if "retrained" in file else folder)
    loose = {"seconds", "spent"}
    for found, expected in zip(mine.read(file), runs.read(file), strict=True):
        if isinstance(expected, pd.DataFrame):
            columns = [name for name in expected if name not in loose]
            assert expected[columns].equals(found[columns])
        elif isinstance(expected, dict) and "scores" in expected:
            assert found["table"] == expected["table"]
        else:
            assert same(found, expected)


@pytest.mark.parametrize("job", ["search", "study", "simulated"])
def test_no_damage_of_the_configuration_of_a_run_of_before_is_unsaid(
    job: str, tmp_path: Path
) -> None:
    """It has no digest: reading warns of that, or refuses what is incomplete."""
    mine = Runs(shutil.copytree(BEFORE, tmp_path / "before"), tmp_path)
    path = mine.root / job / "run.json"
    whole, refusals = path.read_bytes(), 0
    for content in damages(whole, 5 * FLIPS, 0):
        path.write_bytes(content)
        with catch_warnings(record=True) as warned:
            simplefilter("always")
            damage = refused(lambda: read_config(path.parent))
        refusals += bool(damage)
        assert damage or "recorded no checksums" in str(warned[0].message)
    assert refusals > 2 * FLIPS


def test_a_run_of_before_is_recorded_once_its_command_is_repeated(tmp_path: Path) -> None:
    """The settings of the command are compared with run.json; from then on nothing is unseen."""
    folder = shutil.copytree(BEFORE / "search", tmp_path / "before")
    with pytest.warns(ForetellWarning, match="recorded no checksums"):
        config = read_config(folder)
    damaged = (folder / "run.json").read_bytes()
    with pytest.raises(RunStateError, match="seed was 0, now 1"):
        Store.open(folder, config | {"seed": 1})
    assert read_record(folder).files == {}
    Store.open(folder, config).close()
    assert {"run.json", "chosen.pt", "chosen.json"} <= read_record(folder).files.keys()
    for content in damages(damaged, FLIPS, CUTS):
        (folder / "run.json").write_bytes(content)
        assert refused(lambda: read_config(folder))


@pytest.mark.filterwarnings("ignore:.* recorded no checksums")
@pytest.mark.parametrize("lost", ["bit", "end"])
@pytest.mark.parametrize("name", ["chosen.pt", "chosen.json"])
def test_a_damaged_network_of_a_run_of_before_is_refused(
    lost: str, name: str, tmp_path: Path
) -> None:
    """Weights have a checksum of their own, which torch does not compare."""
    folder = shutil.copytree(BEFORE / "search", tmp_path / "before")
    path, expected = folder / name, load_chosen(folder).state_dict()
    whole = path.read_bytes()
    for content in damages(whole, FLIPS * (lost == "bit"), CUTS * (lost == "end")):
        path.write_bytes(content)
        with suppress(ForetellError):
            found = load_chosen(folder).state_dict()
            assert same(list(found.values()), list(expected.values()))


@pytest.mark.filterwarnings("ignore:.* recorded no checksums")
@pytest.mark.parametrize("name", ["table.parquet", "scores.parquet", "run.json", LOG])
def test_damage_of_a_run_of_before_changes_no_values(name: str, tmp_path: Path) -> None:
    """Its files have no digests, but table and scores have fingerprints of their content."""
    mine = Runs(shutil.copytree(BEFORE, tmp_path / "before"), tmp_path)
    path = mine.root / "simulated" / name
    expected = mine.read(f"simulated/{name}")
    whole = path.read_bytes()
    flips, cuts = (FLIPS, CUTS) if name.endswith("parquet") else (0, CUTS)
    for content in damages(whole, flips, cuts):
        path.write_bytes(content)
        if refused(lambda: mine.read(f"simulated/{name}")) is None:
            found = mine.read(f"simulated/{name}")
            if name == LOG:  # without a count of its rows, it may be a shorter run
                found[1] = expected[1]
            assert same(found, expected)


def test_weights_never_stand_beside_what_is_said_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_pair(tmp_path, ("a.pt", b"first"), ("a.json", b"of the first"))

    def stop(folder: Path, name: str, content: bytes) -> None:
        if name == "a.json":
            raise KeyboardInterrupt
        keep(folder, name, content)

    monkeypatch.setattr("foretell.runs.kept.keep", stop)
    with pytest.raises(KeyboardInterrupt):
        keep_pair(tmp_path, ("a.pt", b"second"), ("a.json", b"of the second"))
    assert kept(tmp_path, "a.pt") == b"second"
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("at", range(4))
def test_a_file_is_as_recorded_wherever_a_kill_comes(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come between the record and the file, in either order."""
    keep(tmp_path, "a.pt", b"old")
    written_so_far: list[Path] = []

    def until(path: Path, content: bytes) -> None:
        if len(written_so_far) == at:
            raise KeyboardInterrupt
        written_so_far.append(path)
        write_atomically(path, content)

    monkeypatch.setattr("foretell.runs.kept.write_atomically", until)
    try:
        keep(tmp_path, "a.pt", b"new")
    except KeyboardInterrupt:
        assert at < 3
    assert kept(tmp_path, "a.pt") == (b"old" if at < 2 else b"new")


def test_a_rerun_writes_nothing_anew(runs: Runs, tmp_path: Path) -> None:
    mine = copied(runs, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in mine.root.rglob("*") if path.is_file()}
    for job in ("search", "study", "simulated"):
        mine.make(job)
    changed = [path for path, when in before.items() if path.stat().st_mtime_ns != when]
    assert [path.name for path in changed if path.name != ".lock"] == []


def test_no_record_is_no_claim(tmp_path: Path) -> None:
    assert read_record(tmp_path).files == {}
    (tmp_path / "a.pt").write_bytes(b"of before")
    assert kept(tmp_path, "a.pt") == b"of before"
    assert parsed(written(read_record(tmp_path))) == read_record(tmp_path)


def test_a_report_of_a_run_that_goes_on_is_no_false_alarm(tmp_path: Path) -> None:
    """Rows are counted when a writer closes; those added since are no contradiction."""
    with Store.open(tmp_path, {}) as store:
        store.add({"key": {"n": 0}})
    with Store.open(tmp_path, {}) as store:
        store.add({"key": {"n": 1}})
        assert len(read_rows(tmp_path)) == 2


def test_a_run_without_results_begins_anew_also_if_a_file_is_gone(tmp_path: Path) -> None:
    Store.open(tmp_path, {"seed": 0}).close()
    keep(tmp_path, "table.parquet", b"a table")
    (tmp_path / "table.parquet").unlink()
    Store.open(tmp_path, {"seed": 1}).close()
    assert read_config(tmp_path) == {"seed": 1}


def test_the_reason_of_a_single_candidate_is_its_own() -> None:
    def failing() -> None:
        raise ForetellError("too wide")

    with pytest.raises(ForetellError, match=r"^too wide$"):
        Trials((failing,))()  # type: ignore[arg-type]
