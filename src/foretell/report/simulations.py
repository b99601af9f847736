"""The page of simulated searches: the accuracy reached against the networks trained."""

import shlex
from collections.abc import Mapping

import numpy as np
import pandas as pd

from foretell.report.charts import GREY, SERIES, curves_chart
from foretell.report.page import Block, Code, Figure, Page, Prose, TableBlock
from foretell.statistics.intervals import with_interval
from foretell.studies.curves import alone, bands, speedups
from foretell.studies.simulations import Simulations

__all__ = ["pairs_of", "searches_page"]

RANDOM = "random"
"""The search with which all others are compared."""
AT = (20, 50, 100, 200, 300)


def searches_page(found: Simulations) -> Page:
    """The page of a `foretell study search` run, from its rows."""
    table = found.benchmark.table
    sections: list[tuple[str, list[Block]]] = []
    sentences = []
    for told, report in pairs_of(found):
        curves = found.curves(told, report)
        last = max(len(curve.columns) for curve in curves.values())
        gained = speedups(curves, [count for count in AT if 20 < count <= last] or [last])
        sections.append((heading(found, told, report), blocks_of(found, told, report, gained)))
        if not gained.empty:
            sentences.append(best_gain(gained, report, found.scored(told)))
    sections.append(("Method", method(found)))
    title = f"{table.name}: simulated searches with and without {found.config['by']} scores"
    return Page(title, " ".join(sentences) or "No search used scores.", sections)


def pairs_of(found: Simulations) -> list[tuple[str, str]]:
    """Pairs of choosing and reporting columns: those of the table, or the paper's."""
    table = found.benchmark.table
    pairs = []
    for told in found.told:
        own = [told] if told in table.reporting or not table.reporting else table.reporting[:3]
        pairs += [(told, report) for report in own]
    return pairs


def heading(found: Simulations, told: str, report: str) -> str:
    """The heading of a section, which says what its numbers are."""
    table = found.benchmark.table
    if told != report:
        return f"{report} of the network with the best {told}"
    if told in table.reporting:
        return (
            f"{report}, by which the searcher also chose (as in arXiv:2101.08134; too optimistic)"
        )
    return f"{report}, by which the searcher also chose (the table has no reporting column)"


def best_gain(gained: pd.DataFrame, report: str, scored: Mapping[str, pd.DataFrame]) -> str:
    """A sentence on the best algorithm without scores, and how many trainings scores save it."""
    counts = sorted(gained["at"].unique())
    rows = gained[gained["at"] == counts[(len(counts) - 1) // 2]]
    rows = rows[rows["target"] == rows["target"].max()]
    best = rows.sort_values("speedup").iloc[-1]
    strategy = str(best["strategy"])
    doubt = "" if best["speedup_low"] > 1 else ", which is not certain"
    strongest = (
        f"On {report}, {alone(strategy)} is the best search without scores after {best['at']} "
        f"trainings ({best['target']:.2f} on average)"
    )
    if not np.isfinite(best["helped"]):
        return f"{strongest}; it does not reach this value with scores."
    count = float(scored[strategy].max(axis=1).mean())
    return (
        f"{strongest}; {strategy} scores {count:,.0f} networks and reaches this value after "
        f"{best['helped']:.0f} training{'' if best['helped'] == 1 else 's'}, "
        f"{with_interval(best['speedup'], best['speedup_low'], best['speedup_high'], 1)} "
        f"times fewer{doubt}."
    )


def blocks_of(found: Simulations, told: str, report: str, gained: pd.DataFrame) -> list[Block]:
    """Figures and tables of one choosing column and one reporting column."""
    curves, name = found.curves(told, report), f"{told}-{report}"
    band = bands(curves)
    seeds = {strategy: len(curve) for strategy, curve in curves.items()}
    text = "mean over seeds; the band shows the quartiles"
    blocks = panels(band, seeds, f"curves-{name}", text, "trainings", "networks trained", report)
    priced = with_hours(found, told, band)
    if priced is not None:
        text = (
            "the same against hours of training and scoring, mean over seeds (trainings: "
            f"{priced_by(found)}; scoring: as measured)"
        )
        title = "hours of training and scoring"
        blocks += panels(priced, seeds, f"hours-{name}", text, "hours", title, report)
    blocks.append(
        TableBlock(f"after-{name}", "Mean [quartiles] by number of trainings", after(band), band)
    )
    if not gained.empty:
        caption = (
            "Trainings that a search with scores needs to reach the mean of the same search "
            "without scores, with 95 % bootstrap intervals over seeds if there are at least 100"
        )
        blocks.append(TableBlock(f"speedup-{name}", caption, in_words(gained), gained))
    return blocks


def panels(
    band: pd.DataFrame,
    seeds: Mapping[str, int],
    name: str,
    caption: str,
    across: str,
    title: str,
    report: str,
) -> list[Block]:
    """A figure for each algorithm with and without scores, beside a random search."""
    blocks: list[Block] = []
    for family in dict.fromkeys(map(alone, band["strategy"])):
        own = band[[alone(one) == family or one == RANDOM for one in band["strategy"]]]
        others = [one for one in dict.fromkeys(own["strategy"]) if one != RANDOM]
        scale = {"domain": [*others, RANDOM], "range": [*cycle_of(len(others)), GREY]}
        figure = curves_chart(own, across, title, report, scale=scale)
        counts = ", ".join(f"{seeds[one]} of {one}" for one in scale["domain"] if one in seeds)
        text = f"{family}: {caption}. Seeds: {counts}."
        blocks.append(Figure(f"{name}-{family}", text, figure))
    return blocks


def cycle_of(count: int) -> list[str]:
    """The colours of this number of lines; they repeat if there are not enough."""
    return [SERIES[number % len(SERIES)] for number in range(count)]


def with_hours(found: Simulations, told: str, band: pd.DataFrame) -> pd.DataFrame | None:
    """The bands with `hours`, averaged over the seeds; None if trainings have no times."""
    spent = {
        (strategy, count): value
        for strategy, hours in found.hours(told).items()
        for count, value in hours.ffill(axis=1).mean().items()
    }
    if not spent:
        return None
    keys = zip(band["strategy"], band["trainings"], strict=True)
    return band.assign(hours=[spent[key] for key in keys])


def priced_by(found: Simulations) -> str:
    """The source of the training times."""
    name = "" if found.seconds is None else str(found.seconds.name)
    return f"{name} of the table" if name in found.benchmark.table.frame else name


def after(band: pd.DataFrame) -> pd.DataFrame:
    """One row per strategy: mean and quartiles after several numbers of trainings."""
    last = int(band["trainings"].max())
    shown = band[band["trainings"].isin([count for count in AT if count <= last] or [last])]
    words = [
        f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for row in shown.to_dict(orient="records")
    ]
    cells = pd.DataFrame(
        {
            "strategy": shown["strategy"],
            "after": "after " + shown["trainings"].astype(str),
            "words": words,
        }
    )
    order = list(dict.fromkeys(cells["after"])), list(dict.fromkeys(cells["strategy"]))
    wide = cells.pivot(index="strategy", columns="after", values="words")
    return wide.reindex(columns=order[0], index=order[1]).fillna("–").rename_axis(columns=None)


def in_words(gained: pd.DataFrame) -> pd.DataFrame:
    """The speed-ups, each with its interval in the same cell."""
    table = pd.DataFrame({"strategy": gained["strategy"], "without scores": gained["at"]})
    table["mean reached"] = [f"{value:.2f}" for value in gained["target"]]
    table["with scores"] = [
        "never" if value == float("inf") else f"{value:.0f}" for value in gained["helped"]
    ]
    table["times fewer"] = [
        with_interval(row["speedup"], row["speedup_low"], row["speedup_high"], 2)
        for row in gained.to_dict(orient="records")
    ]
    return table.set_index("strategy")


def method(found: Simulations) -> list[Block]:
    """How to reproduce the searches."""
    config = found.config
    scores, table = config["scores"], found.benchmark.table
    about = {
        "table": f"{table.name}, checksum {table.checksum[:16]}",
        "scores": f"{config['by']} of {scores['count']:,} networks on {scores['batch_size']} "
        f"samples of {scores['data']['name']}, seed {scores['seed']}, "
        f"{scores['seconds']:.2f} s each, fingerprint {scores['fingerprint']}",
        "made with": "; ".join(found.made_with),
    }
    frame = pd.DataFrame({"value": about}).rename_axis("item")
    most = max(row.seed for row in found.rows) + 1
    trainings = max(row.trainings for row in found.rows)
    source = "" if found.seconds is None else str(found.seconds.name)
    timed = f"--seconds {shlex.quote(source)} " if source and source not in table.frame else ""
    told = shlex.quote(",".join(found.told))
    command = (
        "foretell study search STUDY \\\n  "
        f"--by {shlex.quote(config['by'])} --told {told} --seeds {most} "
        f"--trainings {trainings} {timed}\\\n"
        f"  --strategies {shlex.quote(' '.join(found.strategies))}"
    )
    return [
        Prose(
            "Trainings are looked up in the table, and scores in the rows of a study. Of each "
            "class of isomorphic networks, at most one is trained, and only once. Scoring is not "
            "free: the number of scores is in the rows, and their time is included in the hours, "
            "if those are shown."
        ),
        Code(command),
        TableBlock("method", "Data, settings and versions", frame),
    ]
