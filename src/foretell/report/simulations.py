"""The page of simulated searches: what was found against what was trained."""

import shlex
from collections.abc import Mapping

import numpy as np
import pandas as pd

from foretell.report.charts import curves_chart
from foretell.report.page import Block, Code, Figure, Page, Prose, TableBlock
from foretell.statistics.intervals import with_interval
from foretell.studies.curves import alone, bands, speedups
from foretell.studies.simulations import Simulations

__all__ = ["pairs_of", "searches_page"]

AT = (20, 50, 100, 200, 300)


def searches_page(found: Simulations) -> Page:
    """The page of `foretell study search` from its rows."""
    table = found.benchmark.table
    sections: list[tuple[str, list[Block]]] = []
    sentences = []
    for told, report in pairs_of(found):
        curves = found.curves(told, report)
        gained = speedups(curves, [count for count in AT if count > 20])
        sections.append((heading(found, told, report), blocks_of(found, told, report, gained)))
        if not gained.empty:
            sentences.append(best_gain(gained, report, found.scored(told)))
    sections.append(("Method", method(found)))
    title = f"{table.name}: what searches find, helped by {found.config['by']} and not"
    return Page(title, " ".join(sentences) or "No search was helped here.", sections)


def pairs_of(found: Simulations) -> list[tuple[str, str]]:
    """What was told with what is reported of it: as the table allows, or as the paper did."""
    table = found.benchmark.table
    pairs = []
    for told in found.told:
        own = [told] if told in table.reporting or not table.reporting else table.reporting[:3]
        pairs += [(told, report) for report in own]
    return pairs


def heading(found: Simulations, told: str, report: str) -> str:
    """What the numbers of a section are."""
    table = found.benchmark.table
    if told != report:
        return f"{report} of the network with the best {told}"
    if told in table.reporting:
        return f"{report}, told to the searcher itself: the paper's accounting, not an honest one"
    return f"{report}: the table has nothing else to report by"


def best_gain(gained: pd.DataFrame, report: str, scored: Mapping[str, pd.DataFrame]) -> str:
    """One sentence on the algorithm that is best without help, and what help saves it."""
    counts = sorted(gained["at"].unique())
    rows = gained[gained["at"] == counts[(len(counts) - 1) // 2]]
    rows = rows[rows["target"] == rows["target"].max()]
    best = rows.sort_values("speedup").iloc[-1]
    strategy = str(best["strategy"])
    doubt = "" if best["speedup_low"] > 1 else ", which is not certain"
    strongest = (
        f"On {report}, {alone(strategy)} is after {best['at']} trainings the best of the searches "
        f"without help ({best['target']:.2f} on average)"
    )
    if not np.isfinite(best["helped"]):
        return f"{strongest}, and does not reach that with help."
    count = float(scored[strategy].max(axis=1).mean())
    return (
        f"{strongest}; {strategy} scores {count:,.0f} networks and needs {best['helped']:.0f} "
        f"trainings for that, "
        f"{with_interval(best['speedup'], best['speedup_low'], best['speedup_high'], 1)} "
        f"times fewer{doubt}."
    )


def blocks_of(found: Simulations, told: str, report: str, gained: pd.DataFrame) -> list[Block]:
    """Figures and tables of one column told and one reported."""
    curves, name = found.curves(told, report), f"{told}-{report}"
    band = bands(curves)
    seeds = ", ".join(
        f"{strategy}: {len(curve)}" for strategy, curve in curves.items() if len(curve)
    )
    blocks: list[Block] = [
        Figure(
            f"curves-{name}",
            f"Mean over seeds with the band of the quartiles. Seeds: {seeds}.",
            curves_chart(band, "trainings", "networks trained", report),
        )
    ]
    priced = with_hours(found, told, band)
    if priced is not None:
        text = (
            "The same against hours of training what was trained and of scoring, mean over seeds "
            f"(trainings: {priced_by(found)}; scores as measured here)."
        )
        figure = curves_chart(priced, "hours", "hours of training and scoring", report)
        blocks.append(Figure(f"hours-{name}", text, figure))
    blocks.append(
        TableBlock(f"after-{name}", "Mean [quartiles] after trainings", after(band), band)
    )
    if not gained.empty:
        caption = (
            "Trainings that a helped search needs for what the same search without help has on "
            "average; with 95 % bootstrap intervals over seeds, where there are 100"
        )
        blocks.append(TableBlock(f"speedup-{name}", caption, in_words(gained), gained))
    return blocks


def with_hours(found: Simulations, told: str, band: pd.DataFrame) -> pd.DataFrame | None:
    """The bands with `hours`, on average over the seeds; None where trainings have no times."""
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
    """Where the seconds of a training are from."""
    name = "" if found.seconds is None else str(found.seconds.name)
    return f"{name} of the table" if name in found.benchmark.table.frame else name


def after(band: pd.DataFrame) -> pd.DataFrame:
    """A row a strategy: mean and quartiles after some numbers of trainings."""
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
    """The speed-ups with their intervals in one cell."""
    table = pd.DataFrame({"strategy": gained["strategy"], "as without help after": gained["at"]})
    table["that is"] = [f"{value:.2f}" for value in gained["target"]]
    table["needs"] = [
        "never" if value == float("inf") else f"{value:.0f}" for value in gained["helped"]
    ]
    table["times fewer"] = [
        with_interval(row["speedup"], row["speedup_low"], row["speedup_high"], 2)
        for row in gained.to_dict(orient="records")
    ]
    return table.set_index("strategy")


def method(found: Simulations) -> list[Block]:
    """What redoes the searches."""
    config = found.config
    scores, table = config["scores"], found.benchmark.table
    about = {
        "table": f"{table.name}, checksum {table.checksum[:16]}",
        "scores": f"{config['by']} of {scores['count']:,} networks on {scores['batch_size']} "
        f"samples of {scores['data']['name']}, seed {scores['seed']}, "
        f"{scores['seconds']:.2f} s each, fingerprint {scores['fingerprint']}",
        "made with": "; ".join(found.made_with),
    }
    frame = pd.DataFrame({"value": about}).rename_axis("what")
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
            "Trainings are looked up in the table, scores in the rows of a study. A network is "
            "trained once, and no other of its class of isomorphic networks. Scores are not free: "
            "how many were computed is in the rows, and in the hours where those are shown."
        ),
        Code(command),
        TableBlock("method", "What the numbers rest on", frame),
    ]
