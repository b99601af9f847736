"""Commands that write, killed at every file operation, or on a disk that refuses some of them.

Nothing is lost, and a rerun finishes them.

`test_faults.py` does the same with searches and studies, which take longer.
"""

import json
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell import ForetellError, load_chosen, search
from foretell.files import DRAFT
from foretell.runs.store import read_rows
from foretell.studies.run import run_study
from foretell.studies.simulations import read_simulations
from foretell.tables import Table, read_table, write_table
from foretell.training.settings import TrainSettings
from tests.support.faulty import ERRORS, Ended, Fault, Forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches Linux's processes")

CELLS = ["333013", "111111", "222222", "123123"]
FRAME = pd.DataFrame({"val": [1.0, 2, 3, 4], "test": [2.0, 1, 4, 3], "took": [9.0, 8, 7, 6]}, CELLS)
TABLE = Table("four", "nb201", FRAME, choosing=("val",), reporting=("test",), cost=("took",))
SPACE = "nb201?channels=2,cells=1"
SHORT = TrainSettings(epochs=2, batch_size=512)


@dataclass(frozen=True)
class Job:
    """A command, the files that it writes, and what a user reads from them."""

    command: str
    watched: str
    read: Callable[[Path], dict[str, Any]]
    kills: int
    """At how many of its operations, evenly spaced, it is killed."""


def simulated(folder: Path) -> dict[str, str]:
    run = folder / "simulated"
    found = read_simulations(run)
    read = {"scores": found.benchmark.scores.to_json(), "seconds": found.seconds.to_json()}  # type: ignore[union-attr]
    return read | {json.dumps(row, sort_keys=True): "" for row in read_rows(run)}


def retrained(folder: Path) -> dict[str, str]:
    model = load_chosen(folder / "searched", retrained=True)
    about = json.loads((folder / "searched" / "retrained.json").read_text())
    del about["seconds"]
    weights = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    return {"both": json.dumps([about, weights])}


def told(folder: Path) -> dict[str, str]:
    return {json.dumps(row, sort_keys=True): "" for row in read_rows(folder / "searched")}


def reported(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "page").glob("[!.]*")}


def imported(folder: Path) -> dict[str, str]:
    return {"table": read_table(folder / "tables" / "mine.parquet").frame.to_json()}


JOBS = {
    "study search": Job(
        "study search scored --by snip --strategies 'random random?warmup=2' --seeds 2 "
        "--trainings 2 --seconds tables/four.parquet:took --run simulated --workers 1 --csv",
        "simulated",
        simulated,
        14,
    ),
    "retrain": Job(
        "retrain searched --epochs 2 --train-batch-size 512 --csv", "searched", retrained, 14
    ),
    "tell": Job("tell searched --results results.csv", "searched", told, 14),
    "report": Job("report scored --out page", "page", reported, 5),
    "data import": Job(
        "data import table new.csv --space nb201 --key arch --choose val --name mine --replace",
        "tables",
        imported,
        99,
    ),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands need, and with an older version of the imported table."""
    folder = tmp_path_factory.mktemp("start")
    write_table(TABLE, folder / "tables" / "four.parquet")
    write_table(
        replace(TABLE, name="mine", frame=FRAME - 1, checksum=""),
        folder / "tables" / "mine.parquet",
    )
    FRAME.rename_axis("arch").to_csv(folder / "new.csv")
    (folder / "results.csv").write_text("name,value\n333013,50\n111111,60\n222222,55\n")
    few: dict[str, Any] = {"batch_size": 8, "proxies": ["snip"]}
    run_study(TABLE, "digits", run=folder / "scored", space=SPACE, **few)
    once = TrainSettings(epochs=1, batch_size=512)
    search(SPACE, run=folder / "searched", by="snip", pool=2, trainings=1, training=once, **few)
    return folder


@pytest.fixture(scope="module")
def forks(start: Path) -> Iterator[Forks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETELL_DATA", "tables")
        with Forks() as process:
            yield process


def copied(start: Path, folder: Path) -> Path:
    """A copy of the folder in its initial state."""
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(start, folder)


def lasting(folder: Path) -> dict[str, bytes]:
    """The files that are complete, by path; the journal of a database is part of it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and not path.match("*-journal")
    }


def read_or_refused(read: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    """What is read after a kill; nothing if it is refused in one line."""
    try:
        return read(folder)
    except ForetellError as error:
        if "\n" in str(error):
            raise
        return {}


@pytest.mark.parametrize("name", JOBS)
def test_killed_at_each_of_its_operations_it_ends_as_undisturbed(
    name: str, forks: Forks, start: Path, tmp_path: Path
) -> None:
    """What was there remains, what is read is old or new or refused, and no draft is left."""
    job, folder = JOBS[name], tmp_path / "work"
    old = read_or_refused(job.read, start)

    def run(at: int | None = None) -> Ended:
        return forks.run(shlex.split(job.command), job.watched, at, where=folder)

    copied(start, folder)
    calm = run()
    assert (calm.code, calm.err) == (0, "")
    new, files = job.read(folder), lasting(folder).keys()
    for at in range(1, len(calm.operations) + 1, max(1, len(calm.operations) // job.kills)):
        before = lasting(copied(start, folder))
        assert run(at).code == -signal.SIGKILL
        assert lasting(folder).keys() >= before.keys()
        found = read_or_refused(job.read, folder)
        assert found == old or found.items() <= new.items()
        again = run()
        assert (again.code, again.err) == (0, ""), calm.operations[at - 1]
        assert job.read(folder) == new, calm.operations[at - 1]
        assert lasting(folder).keys() == files
        assert not list(folder.rglob(f"*{DRAFT}"))


@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("name", JOBS)
def test_a_disk_that_refuses_is_told_in_one_line(
    name: str, fault: Fault, forks: Forks, start: Path, tmp_path: Path
) -> None:
    """It does so from the first operation on, and from the middle on."""
    job, folder = JOBS[name], copied(start, tmp_path / "work")
    before = lasting(folder).keys()
    words = shlex.split(job.command)
    refused = forks.run(words, job.watched, 1, fault, where=folder)
    assert_told(refused)
    assert lasting(folder).keys() >= before
    middle = max(2, len(forks.run(words, job.watched, where=folder).operations) // 2)
    new = job.read(folder)
    copied(start, folder)
    assert_told(forks.run(words, job.watched, middle, fault, where=folder))
    assert lasting(folder).keys() >= before
    again = forks.run(words, job.watched, where=folder)
    assert (again.code, again.err) == (0, "")
    assert job.read(folder) == new


def assert_told(ended: Ended) -> None:
    """It ends with code 2 and one line, or with 0 if only the removal of a draft was refused."""
    assert ended.code in (0, 2), ended.err
    assert ended.err.count("\n") == (ended.code == 2), ended.err
    assert ended.err.startswith("foretell: " if ended.code else "")
