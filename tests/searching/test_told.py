"""Searches that go on: with results from elsewhere, with a larger budget, and after a kill."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import nn

from foretell import ForetellError, search, tell
from foretell.runs.rowfile import ROWS
from foretell.runs.rows import PickRow, ToldRow, TrainRow, rows_of
from foretell.runs.store import read_rows
from foretell.searching.outcome import Outcome
from foretell.searching.read import read_search
from foretell.spaces import Choices
from foretell.training.settings import TrainSettings
from tests.support.rows import lines_of, put_lines

WIDTHS = [*range(1, 9)]


def build(width: int, bias: bool) -> nn.Module:
    """A network for digits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width, bias), nn.Linear(width, 10))


SPACE = Choices(build, {"width": WIDTHS, "bias": [False, True]})
SEARCHERS = (
    "random",
    "aging_evolution?population=3,tournament=2",
    "guided",
    "local?initial=2",
    "reinforce?hidden=4",
)


def value_of(arch: str, seed: int) -> float:
    """A made-up accuracy in %."""
    width = int(arch.partition(",")[0].partition("=")[2])
    return 90.0 - (width - 6) ** 2 + arch.endswith("true")


def searched(run: Path, trainings: int = 6, **changed: Any) -> Outcome:
    """A search that evaluates by `value_of`."""
    how: dict[str, Any] = {"pool": 12, "proxies": ["synflow", "params"]}
    how |= {} if "guided" in changed.get("searcher", "") else {"by": "synflow"}
    how |= {"batch_size": 8, "evaluate": value_of, "training": TrainSettings(epochs=1)}
    return search(SPACE, "digits", run=run, trainings=trainings, **how | changed)


def rows(run: Path) -> list[str]:
    """All rows but their times, in the order of their keys."""
    found = [
        {k: v for k, v in row.items() if k not in ("seconds", "crc")} for row in read_rows(run)
    ]
    return sorted(json.dumps(row, sort_keys=True) for row in found)


def picked(run: Path) -> list[str]:
    """The networks that the search with scores trained, in their order."""
    return [row.arch for row in rows_of(PickRow, read_rows(run)) if row.arm == "scored"]


def trained(run: Path) -> list[str]:
    """All networks that were trained, in the order of the rows."""
    return [row.network.arch for row in rows_of(TrainRow, read_rows(run))]


def cut(run: Path, keep: int) -> None:
    """Leave the first `keep` trainings and what was written before the next, as after a kill."""
    lines = lines_of(run)
    kinds = [json.loads(line)["key"]["kind"] for line in lines]
    places = [place for place, kind in enumerate(kinds) if kind == "train"]
    put_lines(run, lines[: places[keep]])


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_larger_budget_goes_on_as_if_it_had_been_there_from_the_start(
    searcher: str, tmp_path: Path
) -> None:
    for trainings in (3, 5, 9):
        searched(tmp_path / "grown", trainings, searcher=searcher, compare=True)
    at_once = searched(tmp_path / "once", 9, searcher=searcher, compare=True)
    assert rows(tmp_path / "grown") == rows(tmp_path / "once")
    again = searched(tmp_path / "grown", 9, searcher=searcher, compare=True)
    columns = ["synflow", "value"]
    assert again.table[columns].equals(at_once.table[columns])


def test_a_smaller_budget_or_another_first_stage_is_refused(tmp_path: Path) -> None:
    searched(tmp_path / "run", 4)
    with pytest.raises(ForetellError, match="trainings was 4, now 3"):
        searched(tmp_path / "run", 3)
    with pytest.raises(ForetellError, match="seed was 0, now 1"):
        searched(tmp_path / "run", 5, seed=1)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["trainings"] == 4
    own: dict[str, Any] = {"evaluate": None, "first_stage": "halving", "proxies": ["synflow"]}
    own["training"] = TrainSettings(epochs=3, batch_size=512)
    searched(tmp_path / "staged", 3, **own)
    with pytest.raises(ForetellError, match="trainings was 3, now 4"):
        searched(tmp_path / "staged", 4, **own)
    with pytest.raises(ForetellError, match="first stage halving"):
        tell(tmp_path / "staged", {"13": 50.0}, space=SPACE)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_what_was_told_is_not_trained_and_is_marked(searcher: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    searched(run, 3, searcher=searcher)
    names = ["width=6,bias=true", "width=5,bias=false"]
    assert not set(names) & set(trained(run))
    told = tell(run, dict.fromkeys(names, 91.5), space=SPACE)
    assert (told.names, told.known, told.left_out) == (tuple(names), 0, 0)
    outcome = searched(run, 9, searcher=searcher)
    assert not set(names) & set(trained(run))
    assert len(outcome.table.loc["scored"]) == 9
    assert outcome.table.loc["told", "value"].to_dict() == dict.fromkeys(names, 91.5)
    assert outcome.table["synflow"].notna().all()
    before = (run / ROWS).read_bytes()
    assert tell(run, dict.fromkeys(names, 91.5), space=SPACE).known == 2
    assert searched(run, 9, searcher=searcher).table.equals(outcome.table)
    assert (run / ROWS).read_bytes() == before


@pytest.mark.parametrize("searcher", SEARCHERS)
@pytest.mark.parametrize("keep", [0, 1, 2, 5])
def test_a_search_that_was_killed_and_told_results_loses_nothing(
    keep: int, searcher: str, tmp_path: Path
) -> None:
    """What had been trained is part of the search, whichever part of it the kill left."""
    run = tmp_path / "run"
    searched(run, 6, searcher=searcher, compare=True)
    cut(run, keep)
    before = trained(run)
    free = [name for name in map(SPACE.format, ((w, 0) for w in range(8))) if name not in before]
    tell(run, {free[0]: 80.0}, space=SPACE)
    searched(run, 6, searcher=searcher, compare=True)
    assert set(before) <= set(picked(run)[: keep + 1])
    whole = rows(run)
    for again in range(keep, 6):
        cut(run, again)
        if rows_of(ToldRow, read_rows(run)):
            searched(run, 6, searcher=searcher, compare=True)
            assert rows(run) == whole
        else:
            tell(run, {free[0]: 80.0}, space=SPACE)
            searched(run, 6, searcher=searcher, compare=True)


def test_what_was_told_changes_what_is_trained_next(tmp_path: Path) -> None:
    """The process learns that narrow networks are best here."""
    others: list[set[str]] = []
    for best in (0, 7):
        run = tmp_path / str(best)
        searched(run, 1, searcher="guided", pool=16)
        untrained = [f"width={w},bias={b}" for w in (1, 2, 7, 8) for b in ("false", "true")]
        names = [name for name in untrained if name not in trained(run)][::2]
        tell(run, {name: 90.0 - abs(int(name[6]) - 1 - best) for name in names}, space=SPACE)
        searched(run, 4, searcher="guided", pool=16)
        others.append(set(picked(run)[1:]))
    narrow, wide = ([int(name[6]) for name in names] for names in others)
    assert sum(narrow) < sum(wide)


def test_a_model_of_a_file_is_told_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the result would be left out as one of another version of the file."""
    monkeypatch.chdir(tmp_path)
    Path("told_nets.py").write_text(
        "from torch import nn\n"
        "def net(width=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))\n"
    )
    listed = [f"told_nets.py:net?width={width}" for width in (4, 8, 12)]
    training = TrainSettings(epochs=1, batch_size=256)
    settings: dict[str, Any] = {"data": "digits", "by": "params", "training": training}
    search(listed, run="run", trainings=1, **settings)
    tell("run", {listed[1]: 99.0}, space=listed)
    outcome = search(listed, run="run", trainings=2, **settings)
    assert not outcome.notice
    assert ("told", listed[1]) in outcome.table.index


def test_the_mean_over_seeds_at_the_last_epoch_counts(tmp_path: Path) -> None:
    run = tmp_path / "run"
    searched(run, 1)
    curve = [(1, 0, 30.0), (9, 0, 80.0), (9, 1, 84.0)]
    name = next(
        one for one in ("width=6,bias=true", "width=7,bias=true") if one not in trained(run)
    )
    given = pd.DataFrame(
        [(name, *one) for one in curve], columns=["name", "epoch", "seed", "value"]
    )
    told = tell(run, given, space=SPACE)
    assert told.left_out == 1
    assert searched(run, 1).table.loc[("told", name), "value"] == 82.0
    tell(run, given.tail(1).assign(seed=2, value=100.0), space=SPACE)
    assert searched(run, 1).table.loc[("told", name), "value"] == 88.0


def test_results_of_losses_are_losses(tmp_path: Path) -> None:
    """The best is the smallest, and the direction must not be mistaken."""
    run = tmp_path / "run"
    searched(run, 1, lower_is_better=True)
    name = next(
        f"width={w},bias=true" for w in WIDTHS if f"width={w},bias=true" not in trained(run)
    )
    with pytest.raises(ForetellError, match="'accuracy', in which higher is probably better"):
        tell(run, pd.DataFrame({"name": [name], "accuracy": [0.5]}), space=SPACE)
    tell(run, pd.DataFrame({"name": [name], "val_loss": [0.5]}), space=SPACE)
    outcome = searched(run, 3, lower_is_better=True)
    assert name not in trained(run)
    assert outcome.table.loc[("told", name), "value"] == 0.5
    assert read_search(run).told["val_accuracy"].tolist() == [-0.5]


def numbered(**numbers: float) -> pd.DataFrame:
    """A result with a seed or an epoch."""
    return pd.DataFrame({"name": ["width=6,bias=true"], "value": [70.0], **numbers})


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"width=6": 80.0}, "'width=6', which is not a network of space .*: no option is given"),
        ({"width=6,bias=true": "good"}, "contains values that are not numbers"),
        ({"width=6,bias=true": 0.81, "width=6,bias=false": 81}, "a fraction and a percentage"),
        (pd.DataFrame({"name": ["width=6,bias=true"] * 2, "value": [1, 2]}), "twice.*column seed"),
        (pd.DataFrame({"name": ["width=6,bias=true"], "loss": [1]}), "lower is probably better"),
        ({"width=1,bias=true": 70.0}, "but 66 was added before"),
        *((numbered(seed=odd), "column seed .*integers from 0") for odd in (-1, 1.5, 2.0**64)),
        *((numbered(epoch=odd), "column epoch .*integers from 0") for odd in (-3, 1e30)),
    ],
)
def test_wrong_results_are_refused_and_leave_nothing(
    results: Any, message: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    searched(run, 1)
    tell(run, {"width=1,bias=true": 66.0}, space=SPACE)
    before = (run / ROWS).read_bytes()
    with pytest.raises(ForetellError, match=message):
        tell(run, results, space=SPACE)
    assert (run / ROWS).read_bytes() == before


def test_a_running_search_is_told_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def value(arch: str) -> float:
        with pytest.raises(ForetellError, match="another process is writing"):
            tell(run, {"width=1,bias=true": 66.0}, space=SPACE)
        return 1.0

    searched(run, 1, evaluate=value)
    assert not rows_of(ToldRow, read_rows(run))
