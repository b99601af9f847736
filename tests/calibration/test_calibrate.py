"""`foretell.calibrate`: what it says holds, and wrong input is refused in one line."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from foretell import ForetellError, UnknownName, calibrate
from foretell.calibration.calibrate import ENSEMBLE, leading
from foretell.calibration.verdict import verdict
from foretell.cli import main
from foretell.statistics.posterior import Measured, Posterior
from foretell.statistics.representative import Weighted

POOL = 120


def pool(rho: float, seed: int = 0) -> tuple[pd.DataFrame, "pd.Series[float]"]:
    """Scores of a pool, and the accuracies of all of it; `snip` has this rank correlation."""
    generator, r = np.random.default_rng(seed), 2 * math.sin(math.pi * rho / 6)
    x, size = generator.normal(size=(2, POOL))
    truth = r * x + math.sqrt(1 - r**2) * generator.normal(size=POOL)
    names = pd.Index([f"net{number}" for number in range(POOL)], name="model")
    scores = pd.DataFrame({"snip": x, "params": size}, names)
    return scores, pd.Series(70 + 5 * truth, names, name="value")


def some(truth: "pd.Series[float]", k: int, seed: int = 0) -> "pd.Series[float]":
    """The results of k candidates drawn at random."""
    return truth.sample(k, random_state=seed)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("k", [3, 5, 10, 20, 50])
def test_printed_intervals_hold_as_often_as_they_say(k: int, rho: float) -> None:
    held = []
    for seed in range(100 if k >= 5 else 10):
        scores, truth = pool(rho, seed)
        row = calibrate(scores, some(truth, k, seed)).scores.loc["snip"]
        held += [] if math.isnan(row["low"]) else [row["low"] <= rho <= row["high"]]
    if k < 5:
        assert not held
    else:
        low, high = stats.binom.ppf([0.001, 0.999], len(held), [0.92, 0.98]) / len(held)
        assert len(held) > 80
        assert low <= np.mean(held) <= high


def test_helps_is_seldom_said_of_noise() -> None:
    said = [calibrate(s, some(t, 10)).scores["verdict"] for s, t in map(noise, range(100))]
    assert np.mean([one["snip"] == "helps" for one in said]) <= 0.06


def noise(seed: int) -> Any:
    """A pool whose scores say nothing."""
    return pool(0.0, seed)


@pytest.mark.parametrize(
    ("rho", "k", "expected"),
    [(0.9, 20, "helps"), (-0.9, 20, "misleads"), (0.0, 119, "no signal at all")],
)
def test_the_verdict_is_what_is_true(rho: float, k: int, expected: str) -> None:
    scores, truth = pool(rho)
    assert calibrate(scores, some(truth, k)).scores.loc["snip", "verdict"] == expected


def test_the_best_alone_say_nothing_and_others_are_proposed() -> None:
    scores, truth = pool(0.8)
    best = truth[scores["snip"].nlargest(10).index]
    found = calibrate(scores, best)
    assert found.scores["low"].isna().all()
    assert found.scores["p_above_0.3"].isna().all()
    assert "part of the range" in " ".join(found.statement)
    assert scores.loc[list(found.next), "snip"].min() < 0


def test_what_is_proposed_first_is_spread_over_the_pool_and_judges_it() -> None:
    scores, truth = pool(0.8)
    first = calibrate(scores, next=10).next
    assert len(set(first)) == 10
    assert not math.isnan(calibrate(scores, truth[list(first)]).scores.loc["snip", "low"])


def test_a_spread_is_continued_where_it_was_interrupted() -> None:
    scores, truth = pool(0.8)
    first = calibrate(scores, next=3).next
    then = calibrate(scores, truth[list(first)], next=7).next
    assert not set(first) & set(then)
    assert not calibrate(scores, truth[[*first, *then]]).scores["low"].isna().any()


def test_nothing_depends_on_the_order_or_the_unit_of_the_results() -> None:
    scores, truth = pool(0.5)
    given = some(truth, 12)
    found = calibrate(scores, given).scores
    pd.testing.assert_frame_equal(found, calibrate(scores, given[::-1] / 100).scores)
    pd.testing.assert_frame_equal(found, calibrate(scores, -given, lower_is_better=True).scores)


def test_repeats_are_averaged_and_their_noise_is_said() -> None:
    scores, truth = pool(0.5)
    given = some(truth, 8).reset_index()
    twice = pd.concat([given.assign(value=given["value"] + d, seed=d) for d in (-0.5, 0.5)])
    found = calibrate(scores, twice)
    pd.testing.assert_frame_equal(found.scores, calibrate(scores, given).scores)
    assert "differ by 0.707" in " ".join(found.statement)


def test_the_last_epoch_counts() -> None:
    scores, truth = pool(0.5)
    given = some(truth, 8).reset_index()
    early = given.assign(value=given["value"][::-1].to_numpy(), epoch=1)
    found = calibrate(scores, pd.concat([early, given.assign(epoch=9)]))
    pd.testing.assert_frame_equal(found.scores, calibrate(scores, given).scores)


def test_scores_that_cannot_rank_are_said_to() -> None:
    scores, truth = pool(0.5)
    given = scores.assign(flops=7.0, synflow=math.nan, zen=scores["snip"].where(scores["snip"] > 0))
    found = calibrate(given, some(truth, 10)).scores
    assert found.loc["flops", "verdict"] == "the same for every candidate"
    assert found.loc["synflow", "verdict"] == "undefined for every candidate"
    assert found.loc[["flops", "synflow"], "rho"].isna().all()
    assert found.loc["zen", "undefined"] == (scores["snip"] <= 0).sum()
    assert not math.isnan(found.loc["zen", "low"])


@pytest.mark.parametrize("k", [10, POOL])
def test_equal_results_say_nothing(k: int) -> None:
    scores, truth = pool(0.5)
    found = calibrate(scores, 0 * some(truth, k))
    assert set(found.scores["verdict"]) == {"no evidence yet"}
    assert found.statement[-1] == "All results are equal, so nothing can be said about the scores."


def test_no_more_trainings_are_asked_for_when_all_are_trained() -> None:
    scores, truth = pool(0.1)
    assert calibrate(scores, truth).statement[-1].endswith("these candidates.")
    few = scores[:6]
    assert calibrate(few, truth[few.index]).statement[-1] == (
        "There is no evidence that ensemble helps here."
    )


@pytest.mark.parametrize("k", [0, 1, 2, POOL])
def test_any_number_of_results_will_do(k: int) -> None:
    scores, truth = pool(0.5)
    found = calibrate(scores, some(truth, k))
    assert found.trained == k
    assert len(found.next) == min(5, POOL - k)


def sized(rho: float, seed: int = 0) -> tuple[pd.DataFrame, "pd.Series[float]"]:
    """A pool in which the ensemble has this rank correlation: of FLOPs, and a score like them."""
    scores, truth = pool(rho, seed)
    return scores.rename(columns={"snip": "flops"})[["flops"]].assign(nwot=scores["snip"]), truth


def test_candidates_are_in_the_order_of_what_is_expected() -> None:
    """The best by all scores that help come first, and the trained ones are left out."""
    scores, truth = sized(0.9)
    given = some(truth, 20)
    table = calibrate(scores, given).candidates
    assert set(table.index) == set(truth.index) - set(given.index)
    assert table["rank"].is_monotonic_increasing
    assert truth[table.index[:10]].mean() > truth[table.index[-10:]].mean() + 5
    assert table["p_top_10"].max() <= 0.5


@pytest.mark.parametrize(("rho", "k"), [(0.0, 30), (-0.9, 30), (0.9, 0), (0.9, 4)])
def test_nothing_is_promised_where_the_ensemble_is_not_known_to_help(rho: float, k: int) -> None:
    scores, truth = sized(rho)
    table = calibrate(scores, some(truth, k)).candidates
    assert table.drop(columns="rank").isna().all(axis=None)


def test_what_is_said_of_candidates_holds() -> None:
    """In pools in which scores have correlations like published ones, in each tenth of [0, 0.5]."""
    said = []
    for seed, rho in enumerate(np.tile([0.5, 0.65, 0.8], 20)):
        scores, truth = sized(rho, seed)
        table = calibrate(scores, some(truth, 12, seed)).candidates
        best = truth.rank(ascending=False)[table.index] <= POOL / 10
        said.append(table.assign(best=best).dropna())
    whole = pd.concat(said)
    tenths = whole.groupby(pd.cut(whole["p_top_10"], np.arange(0, 0.6, 0.1)), observed=True)
    assert len(tenths) == 5
    for _, part in tenths:
        assert part["best"].mean() == pytest.approx(part["p_top_10"].mean(), abs=0.05)


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_every_kind_of_file_says_the_same(tmp_path: Path, ending: str) -> None:
    scores, truth = pool(0.5)
    given = some(truth, 9).rename_axis("name").reset_index()
    paths = [tmp_path / f"{name}.{ending}" for name in ("scores", "results")]
    for frame, path in zip((scores.reset_index(), given), paths, strict=True):
        {
            "csv": lambda f, p: f.to_csv(p, index=False),
            "json": lambda f, p: f.to_json(p, orient="records", double_precision=15),
            "parquet": lambda f, p: f.to_parquet(p),
        }[ending](frame, path)
    pd.testing.assert_frame_equal(calibrate(*paths).scores, calibrate(scores, given).scores)


WRONG = {
    "an unknown name": ({"net7x": 1.0}, "net7x' is not|did you mean"),
    "a fraction and percentages": ({"net1": 0.71, "net2": 70.0, "net3": 72.0}, "one unit"),
    "text": ({"net1": "good"}, "values that are not numbers"),
    "a loss": (pd.DataFrame({"name": ["net1"], "val_loss": [2.0]}), "lower is probably better"),
    "two values": (pd.DataFrame({"name": ["net1"], "a": [2.0], "b": [1.0]}), "called value"),
    "an infinite one": ({"net1": math.inf, "net2": 70.0}, "'value' of results has an infinite"),
    "no name": (pd.DataFrame({"value": [2.0]}), "expected one called"),
    "a missing name": (pd.DataFrame({"name": [None], "value": [2.0]}), "no name in row 1"),
    "no file": ("nowhere.csv", "there is no file"),
    "a number": (3, "expected a DataFrame"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_results_are_refused_in_one_line(case: str) -> None:
    given, expected = WRONG[case]
    with pytest.raises(ForetellError, match=expected) as error:
        calibrate(pool(0.5)[0], given)
    assert "\n" not in str(error.value)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(UnknownName) as error:
        calibrate(pool(0.5)[0], {"nett7": 1.0})
    assert error.value.near[0] == "net7"


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (pd.DataFrame({"name": ["a", "a", "b"], "snip": [1.0, 2, 3]}), "'a' twice"),
        (pd.DataFrame({"name": ["a", "b", "c"]}), "no column with numbers"),
        (pd.DataFrame({"name": ["a", "b"], "snip": [1.0, 2]}), "at least 3"),
        (pd.DataFrame({"snip": [1.0, 2, 3]}), "expected one called"),
        (pd.DataFrame({"name": ["a", "b", "c"], "snip": [1.0, 1, 1]}), "no column that differs"),
        (pd.DataFrame({"name": ["a", "b", "c"], "snip": [math.nan] * 3}), "no column that differs"),
        (pd.DataFrame({"name": ["a", "b", "c"], "snip": [1, -math.inf, 3]}), "infinite .* in snip"),
    ],
)
def test_wrong_scores_are_refused(scores: pd.DataFrame, expected: str) -> None:
    with pytest.raises(ForetellError, match=expected):
        calibrate(scores)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    scores, truth = pool(0.8)
    scores.to_csv(tmp_path / "scores.csv")
    some(truth, 10).rename_axis("name").to_csv(tmp_path / "results.csv")
    return [str(tmp_path / "scores.csv"), "--results", str(tmp_path / "results.csv")]


def test_the_command_prints_what_fits_a_terminal(
    files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["calibrate", *files]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "verdict" in printed
    assert "Train next:" in printed


def test_json_stays_json_where_nothing_is_promised(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is undefined is null at any depth, since NaN is not JSON."""
    assert main(["calibrate", files[0], "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert {row["p_top_10"] for row in found["candidates"]} == {None}


def test_the_command_prints_json_and_csv(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trained"] == 10
    assert [row["score"] for row in found["rows"]] == ["snip", "params", "ensemble"]
    assert main(["calibrate", *files, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("score,rho,low,high,")


def test_the_command_refuses_wrong_input_with_code_2(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", files[0], "--results", "nowhere.csv"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_row_without_a_name_is_counted_from_one() -> None:
    frame = pd.DataFrame({"name": ["a", None, "c"], "snip": [1.0, 2.0, 3.0]})
    with pytest.raises(ForetellError, match="no name in row 2"):
        calibrate(frame)


def test_another_score_leads_only_if_the_ensemble_fails() -> None:
    def led_by(verdict: str) -> str:
        table = pd.DataFrame(
            {"verdict": [verdict, "helps"], "rho": [0.4, 0.6]}, index=[ENSEMBLE, "snip"]
        )
        return leading(table)

    assert led_by("misleads") == led_by("no signal at all") == "snip"
    assert led_by("helps") == led_by("unknown") == ENSEMBLE


def test_an_interval_that_ends_at_zero_does_not_mislead() -> None:
    seen, by = Measured(-0.3, 20), Weighted(np.ones(1))
    assert verdict(Posterior(-0.3, 0.2), (-0.6, -0.01), seen, by) == "misleads"
    assert verdict(Posterior(-0.3, 0.2), (-0.6, 0.0), seen, by) != "misleads"


def test_five_candidates_are_proposed_by_default() -> None:
    few = pd.DataFrame({"name": list("abcdefgh"), "snip": range(8)}, dtype=object)
    found = calibrate(few.astype({"snip": float}))
    assert len(found.next) == 5
