"""The page of simulated searches: what was found against what was trained."""

import shlex
from collections.abc import Mapping

import pandas as pd

from foretell.report.charts import curves_chart
from foretell.report.page import Block, Code, Figure, Page, Prose, TableBlock
from foretell.studies.curves import bands, speedups
from foretell.studies.simulations import Simulations

__all__ = ["pairs_of", "searches_page"]

AT = (20, 50, 100, 200, 300)
SECONDS = "train_time_s"
"""The column of a table that says how long a training took."""


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
    """One sentence on the largest speed-up that the interval vouches for, and on its price."""
    best = gained.sort_values("speedup_low").iloc[-1]
    count = float(scored[str(best["strategy"])].max(axis=1).mean())
    return (
        f"On {report}, {best['strategy']} has after {count:,.0f} scores and "
        f"{best['helped']:.0f} trainings what it has without help after "
        f"{best['alone']:.0f}: {best['speedup']:.1f} times fewer "
        f"[{best['speedup_low']:.1f}, {best['speedup_high']:.1f}]."
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
    priced = with_seconds(found, told, band)
    if priced is not None:
        text = "The same against hours of training and scoring, on average over the table."
        figure = curves_chart(priced, "hours", "hours of training and scoring", report)
        blocks.append(Figure(f"hours-{name}", text, figure))
    blocks.append(
        TableBlock(f"after-{name}", "Mean [quartiles] after trainings", after(band), band)
    )
    if not gained.empty:
        caption = (
            "Trainings that a helped search needs for what the same search without help has on "
            "average; with 95 % bootstrap intervals over seeds"
        )
        blocks.append(TableBlock(f"speedup-{name}", caption, in_words(gained), gained))
    return blocks


def with_seconds(found: Simulations, told: str, band: pd.DataFrame) -> pd.DataFrame | None:
    """The bands with `hours`: the mean training's and the mean score's time, as many as so far."""
    table = found.benchmark.table
    if SECONDS not in table.frame:
        return None
    each = float(table.frame[SECONDS].mean())
    score = float(found.config["scores"]["seconds"])
    counts = {
        (strategy, count): value
        for strategy, scored in found.scored(told).items()
        for count, value in scored.ffill(axis=1).mean().items()
    }
    scored = [counts[key] for key in zip(band["strategy"], band["trainings"], strict=True)]
    return band.assign(hours=(band["trainings"] * each + pd.Series(scored) * score) / 3600)


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
        f"{row['speedup']:.2f} [{row['speedup_low']:.2f}, {row['speedup_high']:.2f}]"
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
    most = max(row["key"]["seed"] for row in found.rows) + 1
    trainings = max(row["key"]["trainings"] for row in found.rows)
    command = (
        "foretell study search STUDY \\\n  "
        f"--by {config['by']} --told {','.join(found.told)} --seeds {most} "
        f"--trainings {trainings} \\\n  --strategies {shlex.quote(' '.join(found.strategies))}"
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
