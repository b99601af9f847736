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
from foretell.report.search import search_page
from foretell.report.search_charts import by_option, options_chart, pool_chart
from foretell.report.study import command_of, words
from foretell.report.study_charts import (
    agreement_chart,
    agreements,
    ceiling_of,
    cost,
    first_k,
    first_k_chart,
    scatter,
    small_multiples,
    sparse_labels,
)
from foretell.runs.kept import keep
from foretell.runs.rowfile import ROWS
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
FIGURES = ("correlation", "scatter", "panels", "agreement", "precision", "regret")
FIGURES += ("seconds", "minibatches")
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
    for figure in FIGURES:
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
    """All links lead to sections of the page, or to files beside it."""
    text = page.read_text()
    links = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text.split("<script>")[0])
    files = {link for link in links if not link.startswith("#")}
    assert len(files) > len(FIGURES)
    assert files == {file for file in files if (page.parent / file).is_file()}
    assert all(f'id="{link[1:]}"' in text for link in set(links) - files)
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


def test_agreements_are_the_rank_correlations() -> None:
    """Undefined scores rank last, as in the table of a study."""
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [np.nan, 2, 4, 3]})
    rho = agreements(frame).set_index(["first", "second"])["rho"]
    assert rho["a", "b"] == rho["b", "a"] == pytest.approx(0.8)
    assert rho["b", "b"] == 1
    assert len(agreement_chart(agreements(frame))["layer"]) == 2


def test_the_first_k_are_those_with_the_best_scores() -> None:
    scores = pd.DataFrame({"good": [1.0, 2, 3, 4, 5, 6], "bad": [6.0, 5, 4, 3, 2, 1]})
    truth = pd.Series([10.0, 20, 30, 40, 50, 60])
    rows = first_k(scores, truth, ["good", "bad"]).set_index(["score", "k"])
    assert rows.loc[("good", 2)].tolist() == [1, 0]
    assert rows.loc[("bad", 2)].tolist() == [0, 40]
    assert rows.loc[("random", 1)].tolist() == pytest.approx([1 / 6, 25])
    for column in ("precision", "regret"):
        json.dumps(first_k_chart(rows.reset_index(), column, column), allow_nan=False)


def test_every_trained_network_has_a_tick_below_the_pool() -> None:
    pool = pd.Series([1.0, 2.0, 3.0, np.nan, np.inf] * 20)
    trained = pd.DataFrame({"arm": ["with scores"] * 3, "arch": list("abc")})
    chart = pool_chart(pool, trained.assign(value=[1.0, np.inf, np.nan]), "snip")
    bars, ticks = chart["data"]["values"], chart["layer"][1]["data"]["values"]
    assert sum(bar["networks"] for bar in bars) == 60
    assert [(tick["arch"], tick["at"]) for tick in ticks] == [("a", 1.0), ("b", 3.0)]


def test_options_are_sorted_by_their_numbers() -> None:
    rows = [("with scores", f"width={width},act=ReLU", 0.5) for width in (16, 4, 8)]
    options = by_option(pd.DataFrame(rows, columns=["arm", "arch", "value"]))
    order = options_chart(options, "accuracy")["layer"][0]["encoding"]["x"]["sort"]
    assert order == ["width: 4", "width: 8", "width: 16", "act: ReLU"]
    assert by_option(pd.DataFrame({"arch": ["333333"], "value": [1.0]})).empty


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
    assert dom.count('data-drawn="yes"') == len(FIGURES)
    assert dom.count("<canvas") == 1  # the scatter; the others are vector graphics
    assert dom.count('class="marks"') == len(FIGURES)


@pytest.mark.skipif(not BROWSER, reason="no Chromium found; set FORETELL_BROWSER")
def test_a_click_on_a_heading_sorts_the_table(tmp_path: Path) -> None:
    """First the highest number; what is not a number stays last."""
    values = [2.0, 1_234_567.0, np.nan, 30.5]
    frame = pd.DataFrame({"value": values}, index=pd.Index(list("abcd"), name="name"))
    page = write_page(Page("t", "s", [("h", [TableBlock("t", "c", frame)])]), tmp_path)
    for clicks, order in ((1, "bdac"), (2, "adbc")):
        click = "document.querySelectorAll('thead button')[1].click();" * clicks
        (tmp_path / "clicked.html").write_text(f"{page.read_text()}<script>{click}</script>")
        dom, log = browse(tmp_path / "clicked.html")
        assert "CONSOLE" not in log
        assert "".join(re.findall(r'<th scope="row"[^>]*>(.)</th>', dom)) == order


@pytest.mark.skipif(not BROWSER, reason="no Chromium found; set FORETELL_BROWSER")
def test_the_browser_test_sees_errors(tmp_path: Path) -> None:
    wrong = Figure("f", "broken", {"mark": "no such mark", "data": {"values": []}})
    dom, log = browse(write_broken(tmp_path, wrong))
    assert "CONSOLE" in log or 'data-drawn="yes"' not in dom


def write_broken(folder: Path, figure: Figure) -> Path:
    path = folder / "index.html"
    path.write_text(as_html(Page("t", "s", [("h", [figure])])))
    return path


@pytest.mark.skipif(not BROWSER, reason="no Chromium found; set FORETELL_BROWSER")
def test_a_button_copies_the_commands(tmp_path: Path) -> None:
    page = write_page(Page("t", "s", [("h", [Code("foretell report 'my run'")])]), tmp_path)
    title = "{value: {writeText: async (text) => { document.title = text; }}}"
    script = f"Object.defineProperty(navigator, 'clipboard', {title});"
    script += "document.querySelector('button.copy').click();"
    (tmp_path / "clicked.html").write_text(f"{page.read_text()}<script>{script}</script>")
    dom, log = browse(tmp_path / "clicked.html")
    assert "CONSOLE" not in log
    assert "<title>foretell report 'my run'</title>" in dom


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


def test_the_highest_score_has_rank_100() -> None:
    scores = pd.DataFrame({"snip": [3.0, 9.0, 6.0], "top": [20.0, 10.0, 30.0]}, index=list("abc"))
    many = small_multiples(scores, "top")["data"]["values"]
    assert [row["rank"] for row in many] == [33.3, 100, 66.7]
    assert [row["accuracy"] for row in many] == [66.7, 33.3, 100]
    one = scatter(scores, "top", "%")["data"]["values"]
    assert [row["rank of snip"] for row in one] == [33.33, 100, 66.67]
    assert [row["height"] for row in one] == [66.67, 33.33, 100]


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
    assert names == ["curves", "seconds", "scores", "pool", "cost-params", *graphs]
    code = next(block.text for block in page.blocks if isinstance(block, Code))
    assert "foretell retrain RUN --epochs 100" in code
    assert "--pool 6" in code
    assert "--compare" in code
    written = write_report(searched)
    assert (written.parent / "graph-scored.svg").stat().st_size > 500
    assert "anecdotal" in written.read_text()


def test_the_networks_that_the_score_ranks_first_are_on_the_left(searched: Path) -> None:
    found = read_search(searched)
    assert found.config["by"] == "synflow"  # higher is better
    figures = {one.name: one for one in search_page(found).blocks if isinstance(one, Figure)}
    rows = figures["scores"].chart["data"]["values"]
    places = {row["arch"]: row["x"] for row in rows}
    values = found.pool["synflow"].sort_values(ascending=False)
    order = [arch for arch in values.index if arch in places]
    assert [places[arch] for arch in order] == sorted(places.values())
    assert 0 < min(places.values()) <= max(places.values()) <= 100


def stopped(network: object, report: object) -> float:
    """A training during which the user presses Ctrl-C."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("by", ["synflow", "synflow+params"])
def test_a_search_that_has_only_scored_shows_its_scores(tmp_path: Path, by: str) -> None:
    """The networks are in the order in which the search will train them."""
    with pytest.raises(KeyboardInterrupt):
        search(
            "cnn", run=tmp_path / "run", pool=6, trainings=2, by=by, evaluate=stopped, batch_size=8
        )
    page = search_page(read_search(tmp_path / "run"))
    (table,) = [block for block in page.blocks if getattr(block, "name", "") == "scored"]
    assert len(table.frame) == 6
    assert table.frame.columns[0] == by
    assert table.frame[by].is_monotonic_decreasing
    assert "No training has finished yet" in write_report(tmp_path / "run").read_text()


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
    before = (searched / ROWS).read_bytes()
    assert main(words[1:]) == 0
    assert (searched / ROWS).read_bytes() == before
