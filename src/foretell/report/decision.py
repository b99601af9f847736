"""The section of a search's page on what to train next and how useful the scores are."""

import itertools
import math
from collections.abc import Mapping

import pandas as pd

from foretell.calibration.calibrate import Calibration, calibrate
from foretell.calibration.files import run_scores
from foretell.errors import ForetellError
from foretell.report.page import Block, Figure, Prose, TableBlock
from foretell.report.search_charts import foretold_chart, worth_chart
from foretell.runs.results import full_epochs
from foretell.searching.read import Found
from foretell.statistics.posterior import FEWEST

__all__ = ["decision"]

GROWTH = 1.5
"""The factor between successive numbers of results after which the scores are judged."""
SHOWN = 3
"""The maximum number of such numbers in the figure."""
SHARE = 0.10


def decision(found: Found) -> list[Block]:
    """What to train next, its expected results, and how useful each score is."""
    try:
        scores = run_scores(found.folder)
    except ForetellError as error:  # a proxy that is not registered here
        return [Prose(f"How well the scores rank cannot be estimated: {error}.")]
    pool = scores.drop(columns=[name for name in scores if scores[name].nunique() < 2])
    table = results_table(found, pool)
    full = table[table["epoch"] == full_epochs(found.config["training"])]
    early = table.drop(full.index) if len(full) else table.head(0)
    results = dict(zip(full["name"], full["value"], strict=True))
    if len(pool) < FEWEST or pool.shape[1] < 2:
        return []
    judged = {count: judge(pool, results, count, early) for count in counts_of(len(results))}
    last = judged[len(results)]
    blocks: list[Block] = [Prose(" ".join(last.statement))]
    if last.next:
        best = proposed(last)
        blocks.append(TableBlock("next", caption_of(last), next_table(last, best, pool)))
        blocks.append(Prose(expected_of(last, best)))
    return [*blocks, *figures(found, judged, results)]


def proposed(judged: Calibration) -> list[str]:
    """The networks to train next: the most promising ones, or a spread while little is known."""
    if judged.trained < FEWEST:
        return list(judged.next)
    return list(map(str, judged.candidates.index[: len(judged.next)]))


def results_table(found: Found, pool: pd.DataFrame) -> pd.DataFrame:
    """The results of the networks that were trained here or elsewhere; higher is better."""
    known = found.results["name"].isin(pool["name"]) & found.results["value"].notna()
    return found.results[known]


def judge(
    pool: pd.DataFrame, results: Mapping[str, float], count: int, early: pd.DataFrame
) -> Calibration:
    """Calibrate the scores by the first results, and by all `early` ones.

    The results are from one search, so their unit and direction need not be checked.
    """
    first = pd.DataFrame(list(results.items())[:count], columns=["name", "value"])
    last = early["epoch"].max() + 1 if len(early) else 1
    both = pd.concat([early, first.assign(epoch=last)])
    return calibrate(pool, both.assign(value=-both["value"]), lower_is_better=True)


def counts_of(last: int) -> list[int]:
    """The numbers of results after which the scores are judged.

    >>> counts_of(20), counts_of(3)
    ([5, 8, 12, 18, 20], [3])
    """
    counts, count = [], FEWEST
    while count < last:
        counts.append(count)
        count = math.ceil(GROWTH * count)
    return [*counts, last]


def expected_of(judged: Calibration, best: list[str]) -> str:
    """A sentence on the expected results of the proposed networks."""
    text = ""
    sure = judged.candidates["p_top_10"].reindex(best)
    if not sure.isna().any():
        text = (
            f"Of these {len(best)}, {sure.sum():.1f} are expected to be among the best 10 % of all "
            f"scored networks; of {len(best)} random networks, {SHARE * len(best):.1f}. "
        )
    elif judged.trained >= FEWEST:
        text = "There is not enough evidence yet for a probability that they are among the best. "
    if others := [name for name in judged.next if name not in best]:
        text += f"To find out how well the scores rank here, also train {', '.join(others)}."
    return text


def caption_of(judged: Calibration) -> str:
    """The caption of the table of proposed networks."""
    if judged.trained < FEWEST:
        return (
            "Train these next: they are spread over the pool, so their results show how well the "
            "scores rank."
        )
    text = "Train these next. The rank is the expected one in the whole pool"
    if judged.candidates["p_top_10"].isna().all():
        return f"{text}."
    return (
        f"{text}; p_top_10 is the probability of being among its best 10 %, where 0.5 stands for "
        "0.5 or more."
    )


def next_table(judged: Calibration, best: list[str], pool: pd.DataFrame) -> pd.DataFrame:
    """The proposed networks with their expected results and their scores."""
    own = judged.candidates.reindex(best).dropna(axis="columns", how="all")
    return own.join(pool.set_index("name")).rename_axis("architecture")


def figures(
    found: Found, judged: Mapping[int, Calibration], results: Mapping[str, float]
) -> list[Block]:
    """Figures of how useful each score is after some results, and how accurate predictions were."""
    blocks: list[Block] = []
    sure = {count: one for count, one in judged.items() if one.scores["low"].notna().any()}
    if sure:
        counts = list(sure)
        shown = dict.fromkeys([counts[0], counts[len(counts) // 2], counts[-1]])
        rows = pd.concat(one.scores.assign(results=n) for n, one in sure.items() if n in shown)
        caption = (
            "The rank correlation of each score with the result, and its 95 % interval, by the "
            "number of results. A score helps if it is above 0.3; an interval that contains 0 is "
            "no evidence."
        )
        blocks.append(Figure("worth", caption, worth_chart(rows.reset_index())))
    points = foretold(judged, results)
    if len(points) >= FEWEST:
        points["value"] = found.measure.signed(points["value"])
        caption = (
            "The rank in the pool that was expected of each network before it was trained, in % "
            f"from the top, and its {found.measure.title}."
        )
        blocks.append(Figure("foretold", caption, foretold_chart(points, found.measure.title)))
    return blocks


def foretold(judged: Mapping[int, Calibration], results: Mapping[str, float]) -> pd.DataFrame:
    """The expected rank of each network before it was trained, and its result."""
    counts, names, rows = list(judged), list(results), []
    for count, following in itertools.pairwise(counts):
        places = judged[count].candidates["rank"]
        whole = count + len(places)
        for name in names[count:following]:
            place = 100 * float(places.loc[name]) / whole
            rows.append({"arch": name, "expected": place, "value": results[name]})
    return pd.DataFrame(rows)
