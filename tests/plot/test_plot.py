"""The charts of `foretell.plot`: whatever holds scores and results can be drawn."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import foretell
from foretell import ForetellError, TrainSettings, plot
from foretell.calibration.calibrate import Calibration
from foretell.report.search import search_page
from foretell.report.study import study_page
from foretell.searching.outcome import Outcome
from foretell.searching.read import read_search
from foretell.spaces import make_space
from foretell.studies.judging import judge
from foretell.studies.read import read_study
from foretell.tables import Table
from tests.support.processes import python

altair = pytest.importorskip("altair")
TRUTH = "test_200"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of ten tiny cells; `epe_nas` is undefined for all of them."""
    space, rng = make_space("nb201"), np.random.default_rng(0)
    archs = dict.fromkeys(tuple(map(int, rng.integers(0, 5, 6))) for _ in range(40))
    keys = [space.format(arch) for arch in archs]
    frame = pd.DataFrame({TRUTH: rng.normal(90, 2, len(keys))}, index=keys)
    return foretell.run_study(
        Table("mine", "nb201", frame, reporting=(TRUTH,)),
        "digits",
        run=tmp_path_factory.mktemp("plot") / "study",
        proxies=["snip", "epe_nas", "params", "flops"],
        sample=10,
        batch_size=4,
        space="nb201?channels=2,cells=1",
    )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A search that trained six networks for two epochs each."""
    return foretell.search(
        "cnn",
        run=tmp_path_factory.mktemp("plot") / "search",
        proxies=["snip", "params"],
        by="snip",
        pool=8,
        trainings=3,
        compare=True,
        batch_size=8,
        training=TrainSettings(epochs=2),
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Scores of forty networks, and the results of every second one."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=40)
    scores = {"snip": quality + rng.normal(size=40), "params": rng.normal(size=40)}
    results = np.where(np.arange(40) % 2, 80 + quality, np.nan)
    return pd.DataFrame({**scores, "accuracy": results}, [f"n{i}" for i in range(40)])


def calibration(table: pd.DataFrame) -> Calibration:
    return foretell.calibrate(table.drop(columns="accuracy"), table["accuracy"].dropna())


COMPARING: dict[str, Callable[..., Any]] = {
    "scatter": partial(plot.scatter, score="snip"),
    "panels": plot.panels,
    "correlations": plot.correlations,
    "agreement": plot.agreement,
    "top_k": plot.top_k,
    "regret": partial(plot.top_k, scores=["snip"], show="regret"),
}
OF_SEARCH: dict[str, Callable[..., Any]] = {
    "curve": plot.curve,
    "seconds": partial(plot.curve, across="seconds"),
    "learning": plot.learning,
    "pool": plot.pool,
    "options": plot.options,
    "front": plot.front,
}


def require_drawn(chart: Any) -> None:
    """A chart that Altair finds valid, with something to draw."""
    spec = chart.to_dict(validate=True)
    assert any(spec["datasets"].values())
    assert spec["width"] != "container"


def test_every_function_is_tested() -> None:
    tested = {*COMPARING, *OF_SEARCH, "posterior", "cost"} - {"regret", "seconds"}
    assert tested == set(plot.__all__)


@pytest.mark.parametrize("name", COMPARING)
def test_scores_are_drawn_from_whatever_holds_them(
    name: str, study: Path, outcome: Outcome, table: pd.DataFrame
) -> None:
    draw, scores = COMPARING[name], table.drop(columns="accuracy")
    require_drawn(draw(study))
    require_drawn(draw(str(study)))
    require_drawn(draw(read_study(study)))
    require_drawn(draw(outcome))
    in_table = draw(table, truth="accuracy")
    require_drawn(in_table)
    beside = [draw(scores, truth=table["accuracy"].dropna())]
    beside.append(draw(scores.iloc[::-1], truth=table["accuracy"].dropna().to_dict()))
    if name == "scatter":
        assert in_table.to_dict()["title"] == beside[1].to_dict()["title"]
        assert "n = 20" in in_table.to_dict()["title"]["text"]
    assert in_table.to_dict() == beside[0].to_dict()


@pytest.mark.parametrize("name", OF_SEARCH)
def test_searches_are_drawn(name: str, outcome: Outcome) -> None:
    require_drawn(OF_SEARCH[name](outcome))
    assert OF_SEARCH[name](outcome.folder).to_dict() == OF_SEARCH[name](outcome).to_dict()


def test_the_others_are_drawn(study: Path, table: pd.DataFrame) -> None:
    require_drawn(plot.cost(study))
    require_drawn(plot.posterior(calibration(table)))


def test_losses_are_drawn_upside_down(table: pd.DataFrame) -> None:
    """The sign of a loss changes ρ, and the networks that are best, but not the axis."""
    losses = -table["accuracy"].dropna()
    scores = table.drop(columns="accuracy")
    up = plot.correlations(scores, truth=-losses).to_dict()
    assert plot.correlations(scores, truth=losses, lower_is_better=True).to_dict() == up
    best = plot.top_k(scores, truth=-losses).to_dict()["datasets"]
    assert plot.top_k(scores, truth=losses, lower_is_better=True).to_dict()["datasets"] == best
    shown = plot.scatter(scores, "snip", truth=losses, lower_is_better=True).to_dict()
    (points,) = shown["datasets"].values()
    assert sorted(one["accuracy"] for one in points) == sorted(losses)


def test_every_chart_of_a_report_is_valid(study: Path, outcome: Outcome) -> None:
    """A misspelt member would be ignored in silence by the browser."""
    rows = read_study(study)
    pages = [study_page(rows, judge(rows)), search_page(read_search(outcome.folder))]
    charts = [block.chart for page in pages for block in page.blocks if hasattr(block, "chart")]
    assert len(charts) > 10
    for chart in charts:
        altair.Chart.from_dict({**chart, "$schema": altair.SCHEMA_URL}, validate=True)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda one: plot.scatter(one.table, "snpi", truth="accuracy"), "did you mean 'snip'"),
        (lambda one: plot.scatter(one.table, "snip"), "truth is missing"),
        (lambda one: plot.scatter(one.table, "snip", truth="acuracy"), "did you mean 'accuracy'"),
        (lambda one: plot.scatter(3, "snip"), "expected a DataFrame, an Outcome or the folder"),
        (lambda one: plot.panels(one.outcome, truth="x"), "has no effect on a search"),
        (lambda one: plot.panels(one.study, lower_is_better=True), "no effect on a run"),
        (lambda one: plot.panels(one.study, truth={"a": 1.0}), "name a column of the study's"),
        (lambda one: plot.agreement(one.table[["snip"]]), "fewer than two scores differ"),
        (lambda one: plot.top_k(one.study, show="recall"), "expected 'precision' or 'regret'"),
        (lambda one: plot.cost(one.outcome), "known only for a study"),
        (lambda one: plot.curve(one.study), "give the folder of a run of `foretell search`"),
        (lambda one: plot.curve(one.outcome, "epochs"), "expected 'trainings' or 'seconds'"),
        (lambda one: plot.pool(one.outcome, "vote"), "is a ranking, which has no values"),
        (lambda one: plot.front(one.outcome, "latency"), "no values of the cost 'latency'"),
        (lambda one: plot.posterior(one.table), "expected what calibrate returns"),
        (
            lambda one: plot.posterior(foretell.calibrate(one.table[["snip", "params"]])),
            "has 0 results",
        ),
    ],
)
def test_refusals(
    draw: Callable[[Any], Any], said: str, study: Path, outcome: Outcome, table: pd.DataFrame
) -> None:
    class Given:
        pass

    given: Any = Given()
    given.study, given.outcome, given.table = study, outcome, table
    with pytest.raises(ForetellError, match=said):
        draw(given)


def test_the_module_is_imported_when_it_is_used() -> None:
    done = python("-c", "import foretell, sys; assert 'altair' not in sys.modules; foretell.plot")
    assert done.returncode == 0, done.stderr


def test_what_functions_return_is_a_table_in_a_notebook(
    study: Path, outcome: Outcome, table: pd.DataFrame
) -> None:
    digits = foretell.load_data("digits")
    batch = foretell.minibatch(digits.train, size=4, seed=0)
    scores = foretell.score(
        foretell.load_model("cnn:1,4,1,ReLU,no,no,no", digits), batch, ["params"]
    )
    shown = [scores, foretell.explain(["snip"]), outcome, calibration(table)]
    shown += [foretell.judge(study), read_study(study), read_study(study).table]
    for one in shown:
        assert "<table" in one._repr_html_()
        assert len(repr(one)) < 10_000
    assert json.loads(json.dumps({name: float(one) for name, one in scores.items()})) == {
        "params": scores["params"].value
    }
    evil = Table("<b>", "nb201", pd.DataFrame({"<i>": [1.0]}, ["000000"]), reporting=("<i>",))
    assert not {"<b>", "<i>"} & set(evil._repr_html_().replace(">", "> ").split())


def test_every_table_survives_parquet(
    study: Path, outcome: Outcome, table: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    digits = foretell.load_data("digits")
    batch = foretell.minibatch(digits.train, size=4, seed=0)
    model = foretell.load_model("cnn:1,4,1,ReLU,no,no,no", digits)
    found = calibration(table)
    frames = {
        "score": foretell.score(model, batch, ["params", "epe_nas"]).table(),
        "score_many": foretell.score_many(model, batch, ["params"]),
        "rank": foretell.rank({"a": model}, batch, ["params"], best=1),
        "explain": foretell.explain(["snip"], model, batch).table(),
        "outcome": outcome.table,
        "front": outcome.front,
        "judge": foretell.judge(study)[TRUTH],
        "scores": found.scores,
        "candidates": found.candidates,
    }
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
        read = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert list(read.index) == list(frame.index)
        pd.testing.assert_frame_equal(read, frame, check_dtype=False, check_index_type=False)
