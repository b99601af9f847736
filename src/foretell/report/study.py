"""The page of a study: what its rows say, in words, tables and figures."""

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from foretell.proxies import BASELINES
from foretell.report.charts import (
    ON_PAPER,
    ceiling_of,
    cost,
    forest,
    scatter,
    small_multiples,
)
from foretell.report.page import Block, Code, Figure, Page, Prose, TableBlock
from foretell.scoring.vote import VOTERS, wins
from foretell.statistics.correlations import why_undefined
from foretell.statistics.intervals import with_interval
from foretell.studies.judging import EARLY
from foretell.studies.published import SOURCES
from foretell.studies.read import Rows
from foretell.studies.table import STATISTICS

__all__ = ["command_of", "study_page", "words"]

SHOWN = ("spearman", "kendall", "spearman_in_top", "top_overlap", "best_in_top", "regret")
STEPS: Mapping[str, int] = {"nb201": 98, "nb101": 157}
"""Minibatches of an epoch in a benchmark's own trainings: 25,000 and 40,000 images by 256."""


def study_page(rows: Rows, tables: Mapping[str, pd.DataFrame]) -> Page:
    """The page of a study from its rows and what `judge` makes of them."""
    sections: list[tuple[str, list[Block]]] = [
        (f"Against {truth}", blocks_of(rows, truth, table)) for truth, table in tables.items()
    ]
    sections += [("Undefined scores", undefined(rows)), ("Method", method(rows))]
    count = len(rows.runs[0])
    title = f"{rows.table.name}: how well scores rank {count:,} networks"
    return Page(
        title, " ".join(words(rows, truth, table) for truth, table in tables.items()), sections
    )


def words(rows: Rows, truth: str, table: pd.DataFrame) -> str:
    """The result in a sentence or two, no stronger than the intervals allow."""
    proxies = table[table["kind"].isin(["proxy", "vote"])].dropna(subset="spearman")
    baselines = table[table["kind"] == "baseline"].dropna(subset="spearman")
    if proxies.empty:
        return f"No score has a rank correlation with {truth}."
    best = proxies.sort_values("spearman").iloc[-1]
    found = (
        f"On {truth}, {best.name} ranks best of the scores: "
        f"ρ = {rho_of(best)}, n = {int(best['n']):,}"
    )
    if baselines.empty:
        return f"{found}."
    beaten = baselines.sort_values("spearman").iloc[-1]
    clear = best["spearman_low"] > beaten["spearman_high"]
    behind = best["spearman_high"] < beaten["spearman_low"]
    verdict = "clearly above" if clear else "below" if behind else "not clearly apart from"
    return f"{found}; that is {verdict} the baseline {beaten.name}, {rho_of(beaten)}."


def rho_of(row: "pd.Series[Any]") -> str:
    """A score's ρ with its interval."""
    return with_interval(row["spearman"], row["spearman_low"], row["spearman_high"], 2)


def blocks_of(rows: Rows, truth: str, table: pd.DataFrame) -> list[Block]:
    """Table and figures for one column of truth."""
    scores = with_truth(rows, truth)
    unit = "%" if table_unit(rows, truth) else ""
    priced = with_prices(rows, table)
    blocks: list[Block] = [
        TableBlock(
            f"table-{truth}",
            f"Scores against {truth}: the value and, where one is known to hold, its 95 % "
            "interval. Signs are kept: a score that ranks backwards is wrong. Tops are the 10 % "
            "with the best accuracy.",
            in_words(table),
            priced,
        ),
        Figure(
            f"correlation-{truth}",
            f"Spearman's ρ of each score with {truth}, with 95 % intervals"
            + (f"; red diamonds: published ({source_of(rows)})." if published(table) else "."),
            forest(table),
        ),
        Figure(
            f"scatter-{truth}",
            f"Each point is an architecture: its score against {truth}."
            + (f" The files show {ON_PAPER:,} of them." if len(scores) > ON_PAPER else ""),
            scatter(scores, truth, unit),
            small_multiples(scores, truth, unit),
        ),
    ]
    for price, title, caption in (
        ("seconds", "seconds a network, measured here", "the seconds it takes for one network"),
        ("minibatches", "minibatches a network", "the minibatches that a network must see"),
    ):
        if (priced[price] > 0).any():
            ceiling = "" if ceiling_of(table) is None else "; dashed: the noise ceiling"
            text = f"Spearman's ρ with {truth} against {caption}{ceiling}."
            blocks.append(Figure(f"{price}-{truth}", text, cost(priced, price, title)))
    return blocks


def with_truth(rows: Rows, truth: str) -> pd.DataFrame:
    """Scores, the vote and reduced trainings by architecture, with the column of truth."""
    first = rows.runs[0]
    frame = first.join(rows.reduced)
    if set(VOTERS) <= set(first):
        frame["vote"] = wins(first[list(VOTERS)])
    order = [name for name in frame if name not in BASELINES]
    frame = frame[[*order, *(name for name in BASELINES if name in frame)]]
    frame = frame.replace([np.inf, -np.inf], np.nan)
    frame[truth] = rows.table.frame[truth].reindex(frame.index)
    return frame.dropna(subset=truth)


def table_unit(rows: Rows, truth: str) -> bool:
    """Whether the truth is in percent: an accuracy or an error."""
    return rows.table.space != "nlp" and "loss" not in truth


def with_prices(rows: Rows, table: pd.DataFrame) -> pd.DataFrame:
    """The table with what each score costs: `seconds` measured, and `minibatches`."""
    priced = table.copy()
    priced["seconds"] = rows.seconds.reindex(priced.index)
    if "vote" in priced.index:
        priced.loc["vote", "seconds"] = rows.seconds.reindex(list(VOTERS)).sum()
    priced["minibatches"] = [
        minibatches(rows, str(name), str(kind)) for name, kind in priced["kind"].items()
    ]
    return priced


def minibatches(rows: Rows, name: str, kind: str) -> float:
    """How many minibatches a score sees; nan where that is not known."""
    if name.startswith(EARLY):
        return STEPS.get(rows.table.name, np.nan) * float(name.removeprefix(EARLY))
    if kind == "reduced":
        return float(rows.minibatches[name])
    return 1.0 if kind in ("proxy", "vote") else np.nan


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The main statistics, each with its interval in one cell."""
    shown = table[["kind"]].copy()
    for name in SHOWN:
        shown[name] = [
            with_interval(*row, 2)
            for row in zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        ]
    shown["sign"] = table["sign"]
    shown["undefined"] = table["undefined"]
    shown["n"] = table["n"]
    if (table["runs"] > 1).any():
        shown["ρ over repeats"] = [
            f"{low:.2f} to {high:.2f}"
            for low, high in zip(table["spearman_min"], table["spearman_max"], strict=True)
        ]
    if published(table):
        shown["published ρ"] = table["published"]
    return shown


def published(table: pd.DataFrame) -> bool:
    """Whether there are published numbers to compare with."""
    return bool(table["published"].notna().any())


def source_of(rows: Rows) -> str:
    """Where published numbers come from."""
    return SOURCES.get(rows.table.name, "see docs/studies.md")


def undefined(rows: Rows) -> list[Block]:
    """What was undefined, how often and why."""
    found = [
        {"score": proxy, "networks": count, "reason": reason}
        for proxy, reasons in rows.why.items()
        for reason, count in reasons.items()
    ]
    first = rows.runs[0]
    constant = {
        str(name): why
        for name, values in first.items()
        if (why := why_undefined(values.to_numpy(), np.arange(len(values), dtype=float)))
        and values.notna().any()
    }
    found += [
        {"score": name, "networks": len(first), "reason": why} for name, why in constant.items()
    ]
    if not found:
        return [Prose("Every score of every network is a number.")]
    frame = pd.DataFrame(found).set_index("score")
    return [TableBlock("undefined", "Undefined scores rank last.", frame)]


def method(rows: Rows) -> list[Block]:
    """What redoes the study."""
    config, table = rows.config, rows.table
    about = {
        "table": f"{table.name}, {len(table.frame):,} rows, checksum {table.checksum[:16]}",
        "source": f"{table.source}; licence: {table.licence}",
        "space": f"{config['space']['name']}, "
        + ", ".join(f"{name} {value}" for name, value in config["space"]["settings"].items()),
        "images or texts": f"{config['data']['name']}, fingerprint {config['data']['fingerprint']}",
        "minibatch": f"{config['batch_size']} samples, class-balanced, one for all networks",
        "seed": f"{config['seed']} for sample, weights and minibatch; {len(rows.runs)} repeat(s)",
        "loss": config["loss"],
        "made with": "; ".join(rows.made_with),
    }
    frame = pd.DataFrame({"value": about}).rename_axis("what")
    return [
        Prose(
            "The sample is drawn at random from the table's keys; of isomorphic architectures one "
            "is scored. Networks are untrained. Intervals are grouped jackknife intervals over "
            "architectures; numbers for which no interval holds have none. Statistics: "
            f"{', '.join(STATISTICS)}, and partial_spearman with "
            "#params held fixed; undefined scores rank last."
        ),
        Code(command_of(rows)),
        TableBlock("method", "What the numbers rest on", frame),
    ]


def command_of(rows: Rows) -> str:
    """The command that makes the rows anew."""
    config = rows.config
    settings = ",".join(f"{k}={v}" for k, v in config["space"]["settings"].items())
    options = {
        "data": config["data"]["name"],
        "sample": str(len(rows.runs[0])),
        "batch-size": str(config["batch_size"]),
        "seed": str(config["seed"]),
        "repeats": str(len(rows.runs)),
        "proxies": ",".join(map(str, rows.runs[0])),
        "reduced": ",".join(map(str, rows.reduced)),
        "space": f"{config['space']['name']}?{settings}" if rows.table.space != "models" else "",
    }
    given = (f"--{name} {shlex.quote(value)}" for name, value in options.items() if value)
    return f"foretell study {shlex.quote(rows.table.name)} \\\n  " + " \\\n  ".join(given)
