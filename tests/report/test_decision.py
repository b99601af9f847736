"""The report of a search says what to train next, how sure that is, and shows values as given."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from foretell import search, tell
from foretell.cli import main
from foretell.report import Code, Figure, Page, Prose, TableBlock, write_report
from foretell.report.decision import decision
from foretell.report.search import search_page
from foretell.runs.rowfile import ROWS
from foretell.searching.read import read_search
from foretell.spaces import Choices
from foretell.training.settings import TrainSettings

pytest.importorskip("vl_convert")


def build(width: int, depth: int) -> nn.Module:
    """A network for digits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4 * width), nn.Linear(4 * width, 10))


SPACE = Choices(build, {"width": list(range(1, 21)), "depth": [1, 2]})


def loss(arch: str) -> float:
    """The wider, the better."""
    width, depth = (int(part.partition("=")[2]) for part in arch.split(","))
    return 5.0 / width + 0.001 * depth


def searched(run: Path, **changed: Any) -> None:
    """A search for the smallest loss."""
    how: dict[str, Any] = {
        "pool": 30,
        "trainings": 12,
        "by": "params",
        "proxies": ["params", "l2_norm"],
    }
    how |= {"evaluate": loss, "lower_is_better": True, "training": TrainSettings(epochs=1)}
    search(SPACE, "digits", run=run, batch_size=8, **how | changed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with a comparison at random, which was told a result."""
    folder = tmp_path_factory.mktemp("decision") / "run"
    searched(folder, compare=True)
    trained = set(read_search(folder).trained["arch"])
    name = next(one for w in range(1, 21) if (one := f"width={w},depth=1") not in trained)
    tell(folder, {name: 0.125}, space=SPACE)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    """Its page."""
    return search_page(read_search(run))


def test_a_manager_reads_what_to_train_and_how_sure_it_is(page: Page) -> None:
    blocks = dict(page.sections)["What to train next"]
    text = " ".join(block.text for block in blocks if isinstance(block, Prose))
    assert "Choose by ensemble: of two candidates, it prefers the better one in" in text
    assert (
        "are expected to be among the best 10 % of all scored networks; of 5 random networks"
        in text
    )
    (proposed,) = [block.frame for block in blocks if isinstance(block, TableBlock)]
    trained = read_search_names(page)
    assert len(proposed) == 5
    assert not set(proposed.index) & trained
    assert [block.name for block in blocks if isinstance(block, Figure)] == ["worth", "foretold"]


def read_search_names(page: Page) -> set[str]:
    """The networks in the table of trained ones."""
    (table,) = [one for one in page.blocks if isinstance(one, TableBlock) and one.name == "trained"]
    return set(table.frame.index)


def test_losses_are_shown_as_they_are(page: Page, run: Path) -> None:
    tables = {one.name: one.frame for one in page.blocks if isinstance(one, TableBlock)}
    for name in ("best", "trained", "told"):
        assert (tables[name]["value"] > 0).all()
        assert "val_accuracy" not in tables[name]
        assert "test_accuracy" not in tables[name]
    best = tables["best"].set_index("arm").loc["with scores", "value"]
    assert tables["trained"].set_index("arm").loc["with scores", "value"].min() == best
    assert f"a value of {best:.4g}" in page.summary
    assert "1 result from elsewhere, the best of them a value of 0.125" in page.summary
    for one in page.blocks:
        if isinstance(one, Figure) and one.name in ("curves", "scores", "foretold"):
            rows = one.chart["data"]["values"]
            assert min(row.get("mean", row.get("y", row.get("value"))) for row in rows) > 0
    assert write_report(run).stat().st_size > 1000


def test_what_was_expected_was_expected_before(run: Path) -> None:
    """Each network is placed by what was known before it was trained, among all of the pool."""
    (points,) = [
        one for one in decision(read_search(run)) if getattr(one, "name", "") == "foretold"
    ]
    assert isinstance(points, Figure)
    rows = points.chart["data"]["values"]
    assert all(0 < row["expected"] <= 100 for row in rows)
    best, rest = (
        [row["value"] for row in rows if (row["expected"] <= 30) == near] for near in (True, False)
    )
    assert max(best) < max(rest)


def test_before_five_results_a_spread_is_proposed(tmp_path: Path) -> None:
    searched(tmp_path / "run", trainings=2)
    blocks = decision(read_search(tmp_path / "run"))
    (table,) = [block for block in blocks if isinstance(block, TableBlock)]
    assert "spread over the pool" in table.caption
    assert not [block for block in blocks if isinstance(block, Figure)]


def test_the_shown_command_finds_all_rows_again(tmp_path: Path) -> None:
    (tmp_path / "fit.py").write_text("def fit(arch):\n    return 1 / (1 + arch.count('3x3'))\n")
    line = (
        "search --space nb201?channels=2,cells=1 --pool 4 --trainings 2 --batch-size 8 --by synflow"
    )
    own = f"--evaluate {tmp_path / 'fit.py'}:fit --lower-is-better --evaluate-timeout 90 --epochs 3"
    run = tmp_path / "run"
    assert main([*shlex.split(f"{line} {own} --workers 1"), "--run", str(run)]) == 0
    before = (run / ROWS).read_bytes()
    page = search_page(read_search(run))
    code = next(block.text for block in page.blocks if isinstance(block, Code))
    assert "--evaluate-timeout 90" in code
    words = shlex.split(code.partition("\n\n")[0].replace("\\\n", " "))
    words[words.index("RUN")] = str(run)
    words[words.index("--evaluate") + 1] = f"{tmp_path / 'fit.py'}:fit"
    assert main(words[1:]) == 0
    assert (run / ROWS).read_bytes() == before
