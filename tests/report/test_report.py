"""The report: what is on the page, that it works in a browser, and which requests are refused."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.cli import main
from foretell.report import (
    Code,
    Figure,
    Page,
    Prose,
    TableBlock,
    as_html,
    write_page,
    write_report,
)
from foretell.report.charts import ceiling_of, cost, scatter, sparse_labels
from foretell.report.search import search_page
from foretell.report.study import command_of, words
from foretell.runs.kept import keep
from foretell.searching.read import read_search
from foretell.searching.search import search
from foretell.spaces import make_space
from foretell.studies.judging import judge
from foretell.studies.read import read_study
from foretell.studies.run import run_study
from foretell.tables import Table
from foretell.training.settings import TrainSettings
from tests.support.processes import finished

pytest.importorskip("vl_convert")
TRUTH = "cifar10_test_200"
BROWSER = os.environ.get("FORETELL_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), ""
)
EVIL = '</script><script>document.title="taken"</script><b>&"\'\u2028'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of ten tiny cells, with some undefined scores."""
    space = make_space("nb201")
    rng = np.random.default_rng(0)
    archs = [tuple(map(int, rng.integers(0, 5, 6))) for _ in range(40)]
    keys = list(dict.fromkeys([space.format(arch) for arch in archs]))
    frame = pd.DataFrame(
        {"cifar10_xvalid_12": rng.normal(60, 5, len(keys)), TRUTH: rng.normal(90, 2, len(keys))},
        index=keys,
    )
    table = Table(
        "mine", "nb201", frame, choosing=("cifar10_xvalid_12",), reporting=(TRUTH,), source=EVIL
    )
    folder = tmp_path_factory.mktemp("report") / "run"
    return run_study(
        table,
        "digits",
        run=folder,
        proxies=["snip", "epe_nas", "synflow", "params", "flops"],
        sample=10,
        batch_size=4,
        space="nb201?channels=2,cells=1",
    )


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return write_report(run)


def test_page_and_pieces_are_there(page: Path) -> None:
    there = {path.name for path in page.parent.iterdir()}
    wanted = {"index.html", "scores.csv", f"table-{TRUTH}.csv", "method.csv", "undefined.csv"}
    for figure in ("correlation", "scatter", "seconds", "minibatches"):
        wanted |= {f"{figure}-{TRUTH}.svg", f"{figure}-{TRUTH}.png"}
    assert wanted <= there
    assert (page.parent / f"scatter-{TRUTH}.png").read_bytes().startswith(b"\x89PNG")
    assert (page.parent / f"scatter-{TRUTH}.svg").read_text().startswith("<svg")


def test_files_hold_the_numbers(run: Path, page: Path) -> None:
    table = pd.read_csv(page.parent / f"table-{TRUTH}.csv", index_col=0)
    judged = judge(read_study(run))[TRUTH]
    assert table["spearman"].to_numpy() == pytest.approx(judged["spearman"], nan_ok=True)
    scores = pd.read_csv(page.parent / "scores.csv", index_col=0)
    assert len(scores) == 10
    assert scores["epe_nas"].isna().all()
    assert scores[TRUTH].notna().all()


def test_nothing_is_fetched_and_nothing_escapes(page: Path) -> None:
    text = page.read_text()
    outside = re.findall(r'(?:src|href)="(?!data:)[^"]*"', text.split("<script>")[0])
    assert outside == []
    assert EVIL not in text
    assert "&lt;/script&gt;&lt;script&gt;document.title" in text
    for spec in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S):
        json.loads(spec)


def test_the_page_says_what_was_done(run: Path, page: Path) -> None:
    text = page.read_text()
    assert "n = 10" in text
    assert read_study(run).why["epe_nas"]
    assert all(reason in text for reason in read_study(run).why["epe_nas"])
    command = command_of(read_study(run))
    assert "--sample 10" in command
    assert "--proxies snip,epe_nas,synflow,params,flops" in command
    assert "channels=2" in command


def test_words_claim_no_more_than_the_intervals(run: Path) -> None:
    rows = read_study(run)
    table = judge(rows)[TRUTH]
    for low, high, verdict in (
        (0.9, 0.99, "clearly above"),
        (-0.9, -0.8, "below"),
        (0.15, 0.9, "not clearly different from"),
    ):
        changed = table.copy()
        changed.loc["params", ["spearman", "spearman_low", "spearman_high"]] = 0.1, 0.0, 0.2
        changed.loc["flops", ["spearman", "spearman_low", "spearman_high"]] = 0.0, -0.1, 0.1
        changed = changed.drop(index=["snip", "epe_nas"])
        columns = ["spearman", "spearman_low", "spearman_high"]
        changed.loc["synflow", columns] = (low + high) / 2, low, high
        assert verdict in words(rows, TRUTH, changed)


def test_an_undefined_ceiling_is_no_line() -> None:
    columns = ["spearman", "spearman_low", "spearman_high", "price"]
    table = pd.DataFrame([[0.5, 0.4, 0.6, 1.0]], index=["snip"], columns=columns)
    table.loc["noise ceiling"] = np.nan
    table["kind"] = ["proxy", "ceiling"]
    assert ceiling_of(table) is None
    json.dumps(cost(table, "price", "seconds"), allow_nan=False)


def test_a_label_is_not_written_over_another() -> None:
    shown = pd.DataFrame(
        {"score": list("abc"), "spearman": [0.5, 0.51, 0.9], "price": [1.0, 1.1, 1.0]}
    )
    assert sparse_labels(shown, "price") == ["", "b", "c"]


def browse(page: Path, *options: str) -> tuple[str, str]:
    """The elements of the page after its scripts have run, and what the browser logged."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    done = finished(*command, "--virtual-time-budget=20000", "--dump-dom", *options, page.as_uri())
    return done.stdout, done.stderr


@pytest.mark.skipif(not BROWSER, reason="no Chromium found; set FORETELL_BROWSER")
@pytest.mark.parametrize("scheme", ["1", "0"], ids=["light", "dark"])
def test_a_browser_draws_all_without_complaint(page: Path, scheme: str) -> None:
    dom, log = browse(page, f"--blink-settings=preferredColorScheme={scheme}")
    assert "CONSOLE" not in log
    assert "<title>mine: how well scores rank 10 networks</title>" in dom
    assert dom.count('data-drawn="yes"') == 4
    assert dom.count("<canvas") == 1  # the scatter; the others are vector graphics
    assert dom.count('class="marks"') == 4


@pytest.mark.skipif(not BROWSER, reason="no Chromium found; set FORETELL_BROWSER")
def test_the_browser_test_sees_errors(tmp_path: Path) -> None:
    wrong = Figure("f", "broken", {"mark": "no such mark", "data": {"values": []}})
    dom, log = browse(write_broken(tmp_path, wrong))
    assert "CONSOLE" in log or 'data-drawn="yes"' not in dom


def write_broken(folder: Path, figure: Figure) -> Path:
    path = folder / "index.html"
    path.write_text(as_html(Page("t", "s", [("h", [figure])])))
    return path


def test_a_page_of_ones_own(tmp_path: Path) -> None:
    frame = pd.DataFrame({"value": [1.5, np.nan]}, index=pd.Index(["a", EVIL], name="what"))
    dots = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": [{"x": 1}]},
        "width": "container",
        "mark": "point",
        "encoding": {"x": {"field": "x", "type": "quantitative"}},
        "description": EVIL,
    }
    blocks = [Prose("words"), Code("a\nb"), TableBlock("t", "c", frame), Figure("f", "c", dots)]
    page = write_page(Page("mine", "short", [("first", blocks)]), tmp_path / "deep" / "er")
    assert {p.name for p in page.parent.iterdir()} == {"index.html", "t.csv", "f.svg", "f.png"}
    assert EVIL not in page.read_text()
    assert "<td>–</td>" in page.read_text() or '<td class="number">–</td>' in page.read_text()


def test_wrong_requests_are_refused_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    keep(tmp_path / "other", "run.json", b'{"format": 1, "config": {"job": "zoo"}}')
    for arguments in (
        ["report", str(tmp_path / "nowhere")],
        ["report", str(tmp_path)],
        ["report", str(tmp_path / "other")],
        ["report", str(run), "--truth", "cifar10_test_20"],
        ["report", str(run), "--out", str(tmp_path / "file")],
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert error.startswith("foretell: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error


def test_points_are_the_architectures() -> None:
    scores = pd.DataFrame({"snip": [1.0, np.nan], "top": [2.0, 3.0]}, index=["a", "b"])
    data = scatter(scores, "top", "%")["data"]["values"]
    assert [row["arch"] for row in data] == ["a", "b"]
    assert [row["value of snip"] for row in data] == [1.0, None]
    assert [row["accuracy"] for row in data] == [2.0, 3.0]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny finished search."""
    run = tmp_path_factory.mktemp("searched") / "run"
    search(
        "nb201?channels=4,cells=1",
        run=run,
        pool=6,
        trainings=3,
        compare=True,
        batch_size=16,
        training=TrainSettings(epochs=1, batch_size=128, lr=0.05),
    )
    return run


def test_the_page_of_a_search(searched: Path) -> None:
    """It has curves, graphs, the best network of each arm, and the command to train it in full."""
    found = read_search(searched)
    page = search_page(found)
    names = [block.name for block in page.blocks if isinstance(block, Figure)]
    graphs = ["graph-scored", "graph-unscored"]
    assert names == ["curves", "seconds", "scores", "cost-params", *graphs]
    code = next(block.text for block in page.blocks if isinstance(block, Code))
    assert "foretell retrain RUN --epochs 100" in code
    assert "--pool 6" in code
    assert "--compare" in code
    written = write_report(searched)
    assert (written.parent / "graph-scored.svg").stat().st_size > 500
    assert "anecdotal" in written.read_text()


def test_a_search_is_read_as_it_ran(searched: Path) -> None:
    """The table equals the one that the search itself returns."""
    again = search(
        "nb201?channels=4,cells=1",
        run=searched,
        pool=6,
        trainings=3,
        compare=True,
        batch_size=16,
        training=TrainSettings(epochs=1, batch_size=128, lr=0.05),
    )
    found = read_search(searched)
    both = found.trained.set_index(["arm", "arch"])["val_accuracy"]
    assert both.equals(again.table["val_accuracy"])
    for arm in ("scored", "unscored"):
        own = again.table.loc[arm]
        assert found.curve(arm)["best"].tolist() == own["val_accuracy"].cummax().tolist()
        scoring = 6 * found.seconds_a_score if arm == "scored" else 0
        assert found.curve(arm)["spent"].iloc[-1] == pytest.approx(own["seconds"].sum() + scoring)


def test_the_command_of_a_search_makes_the_same_run(searched: Path, tmp_path: Path) -> None:
    """The command finds all rows of the run again."""
    page = search_page(read_search(searched))
    code = next(block.text for block in page.blocks if isinstance(block, Code))
    words = shlex.split(code.partition("\n\n")[0].replace("\\\n", " "))
    words[words.index("RUN")] = str(searched)
    before = (searched / "rows.jsonl").read_bytes()
    assert main(words[1:]) == 0
    assert (searched / "rows.jsonl").read_bytes() == before
