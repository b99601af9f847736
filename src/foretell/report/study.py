"""The page of a study: its results in words, tables and figures."""

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from foretell.proxies import BASELINES
from foretell.rankings import RANKINGS, oriented, points, scores_of
from foretell.report.page import Block, Code, Figure, Page, Prose, TableBlock
from foretell.report.study_charts import (
    ON_PAPER,
    agreement_chart,
    agreements,
    ceiling_of,
    cost,
    first_k,
    first_k_chart,
    forest,
    scatter,
    small_multiples,
)
from foretell.statistics.correlations import why_undefined
from foretell.statistics.intervals import with_interval
from foretell.studies.judging import EARLY
from foretell.studies.members import members_table
from foretell.studies.published import SOURCES
from foretell.studies.read import Rows
from foretell.studies.table import STATISTICS, rankings_of

__all__ = ["command_of", "study_page", "words"]

SHOWN = ("spearman", "kendall", "spearman_in_top", "top_overlap", "best_in_top", "regret")
LINES = 5
"""The maximum number of scores in a line chart."""
STEPS: Mapping[str, int] = {"nb201": 98, "nb101": 157}
"""Minibatches per epoch of a benchmark's own trainings: 25,000 and 40,000 images / 256."""


def study_page(rows: Rows, tables: Mapping[str, pd.DataFrame]) -> Page:
    """The page of a study, from its rows and the tables that `judge` returns."""
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
    """The result in one sentence, no stronger than the intervals allow."""
    proxies = table[table["kind"].isin(["proxy", "ranking"])].dropna(subset="spearman")
    baselines = table[table["kind"] == "baseline"].dropna(subset="spearman")
    if proxies.empty:
        return f"The rank correlation with {truth} is undefined for every score."
    best = proxies.sort_values("spearman").iloc[-1]
    found = (
        f"On {truth}, {best.name} ranks best among the scores: "
        f"ρ = {rho_of(best)}, n = {int(best['n']):,}"
    )
    if baselines.empty:
        return f"{found}."
    beaten = baselines.sort_values("spearman").iloc[-1]
    clear = best["spearman_low"] > beaten["spearman_high"]
    behind = best["spearman_high"] < beaten["spearman_low"]
    verdict = "clearly above" if clear else "below" if behind else "not clearly different from"
    return f"{found}. This is {verdict} the baseline {beaten.name}, {rho_of(beaten)}."


def rho_of(row: "pd.Series[Any]") -> str:
    """The ρ of a score with its interval."""
    return with_interval(row["spearman"], row["spearman_low"], row["spearman_high"], 2)


def blocks_of(rows: Rows, truth: str, table: pd.DataFrame) -> list[Block]:
    """Table and figures for one truth column."""
    scores = with_truth(rows, truth)
    unit = "%" if table_unit(rows, truth) else ""
    priced = with_prices(rows, table)
    more = truth not in rows.table.lower_is_better
    panels = small_multiples(scores, truth)
    blocks: list[Block] = [
        TableBlock(
            f"table-{truth}",
            f"Scores against {truth}: values and, where a valid one is known, 95 % intervals. "
            "Statistics are signed: a score that ranks in the wrong direction is marked wrong. The "
            "top is the best 10 % by accuracy.",
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
            + (f" The image files show {ON_PAPER:,} of them." if len(scores) > ON_PAPER else ""),
            scatter(scores, truth, unit),
            panels,
        ),
        Figure(
            f"panels-{truth}",
            f"All scores side by side, without a change of sign: a negative ρ is right for a score "
            f"for which lower is better. n = {len(scores):,}"
            + (f", of which {ON_PAPER:,} are shown." if len(scores) > ON_PAPER else "."),
            panels,
        ),
    ]
    blocks += first_choices(scores, truth, table, more_is_better=more)
    members = members_table(
        rows.runs[0],
        rows.table.frame[truth],
        more_is_better=more,
    )
    if len(members):
        caption = (
            "ρ of each ranking with and without each of its members, and the difference, which is "
            "what the member adds; no valid interval of it is known."
        )
        blocks.append(TableBlock(f"members-{truth}", caption, members))
    for price, title, caption in (
        ("seconds", "seconds per network, as measured", "the seconds that one network takes"),
        ("minibatches", "minibatches per network", "the minibatches that one network processes"),
    ):
        if (priced[price] > 0).any():
            ceiling = "" if ceiling_of(table) is None else "; dashed: the noise ceiling"
            text = f"Spearman's ρ with {truth} against {caption}{ceiling}."
            blocks.append(Figure(f"{price}-{truth}", text, cost(priced, price, title)))
    return blocks


def first_choices(
    scores: pd.DataFrame, truth: str, table: pd.DataFrame, *, more_is_better: bool
) -> list[Block]:
    """Figures of the correlations of scores, and of the gain of training the k best networks."""
    ranked = table[table["kind"].isin(["proxy", "ranking", "baseline"])]
    known = ranked["spearman"].dropna().sort_values(ascending=False)
    sign = 1 if more_is_better else -1
    every = oriented(scores[[name for name in scores if name in known.index]])
    if every.shape[1] < 2:
        return []
    target = sign * scores[truth]
    order = [name for name in known.index if name in every]
    with_target = pd.concat([target.rename(truth), every[order]], axis=1)
    shown = best_of_each_kind(known, ranked["kind"])
    first = first_k(every, target, shown)
    caption = (
        f"Spearman's ρ of each pair of scores, and of each score with {truth}, n = "
        f"{len(target):,}; scores for which lower is better are negated. Two scores with a high ρ "
        "order the networks similarly."
    )
    of = f"The {len(shown) - 1} best scores by ρ and the best baseline"
    return [
        Figure(f"agreement-{truth}", caption, agreement_chart(agreements(with_target))),
        Figure(
            f"precision-{truth}",
            f"{of}: the share of the k best networks by score that are among the k best by "
            f"{truth}, of n = {len(target):,}.",
            first_k_chart(first, "precision", "precision at k"),
        ),
        Figure(
            f"regret-{truth}",
            f"{of}: how far the best of the k best networks by score is behind the best of all "
            f"n = {len(target):,}, in units of {truth}.",
            first_k_chart(first, "regret", "regret of the first k"),
        ),
    ]


def best_of_each_kind(rho: pd.Series, kind: pd.Series) -> list[str]:
    """The best scores by ρ, in descending order, and the best baseline."""
    baselines = [name for name in rho.index if kind[name] == "baseline"][:1]
    others = [name for name in rho.index if kind[name] != "baseline"]
    return [*others[: LINES - len(baselines)], *baselines]


def with_truth(rows: Rows, truth: str) -> pd.DataFrame:
    """Scores, rankings and reduced trainings by architecture, with the truth column."""
    first = rows.runs[0]
    frame = first.join(rows.reduced)
    for ranking in rankings_of(first):
        frame[ranking.name] = points(ranking, first)
    order = [name for name in frame if name not in BASELINES]
    frame = frame[[*order, *(name for name in BASELINES if name in frame)]]
    frame = frame.replace([np.inf, -np.inf], np.nan)
    frame[truth] = rows.table.frame[truth].reindex(frame.index)
    return frame.dropna(subset=truth)


def table_unit(rows: Rows, truth: str) -> bool:
    """Whether the truth column is in percent: an accuracy or an error."""
    return rows.table.space != "nlp" and "loss" not in truth


def with_prices(rows: Rows, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the cost of each score: the measured `seconds`, and `minibatches`."""
    priced = table.copy()
    priced["seconds"] = rows.seconds.reindex(priced.index)
    for name in RANKINGS:
        if name in priced.index:
            needed = list(scores_of(RANKINGS[name]))
            priced.loc[name, "seconds"] = rows.seconds.reindex(needed).sum()
    priced["minibatches"] = [
        minibatches(rows, str(name), str(kind)) for name, kind in priced["kind"].items()
    ]
    return priced


def minibatches(rows: Rows, name: str, kind: str) -> float:
    """The number of minibatches that a score processes; nan if it is not known."""
    if name.startswith(EARLY):
        return STEPS.get(rows.table.name, np.nan) * float(name.removeprefix(EARLY))
    if kind == "reduced":
        return float(rows.minibatches[name])
    return 1.0 if kind in ("proxy", "ranking") else np.nan


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The main statistics, each with its interval in the same cell."""
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
    """Whether there are published values to compare with."""
    return bool(table["published"].notna().any())


def source_of(rows: Rows) -> str:
    """The source of the published values."""
    return SOURCES.get(rows.table.name, "see docs/studies.md")


def undefined(rows: Rows) -> list[Block]:
    """A list of the undefined scores: how often, and why."""
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
        return [Prose("Every score is defined for every network.")]
    frame = pd.DataFrame(found).set_index("score")
    return [TableBlock("undefined", "Undefined scores are ranked last.", frame)]


def method(rows: Rows) -> list[Block]:
    """How to reproduce the study."""
    config, table = rows.config, rows.table
    about = {
        "table": f"{table.name}, {len(table.frame):,} rows, checksum {table.checksum[:16]}",
        "source": f"{table.source}; licence: {table.licence}",
        "space": f"{config['space']['name']}, "
        + ", ".join(f"{name} {value}" for name, value in config["space"]["settings"].items()),
        "images or texts": f"{config['data']['name']}, fingerprint {config['data']['fingerprint']}",
        "minibatch": f"{config['batch_size']} samples, class-balanced, the same for all networks",
        "seed": f"{config['seed']} for sample, weights and minibatch; {len(rows.runs)} repeat(s)",
        "loss": config["loss"],
        "made with": "; ".join(rows.made_with),
        **({"rows": rows.left_out} if rows.left_out else {}),
    }
    frame = pd.DataFrame({"value": about}).rename_axis("item")
    return [
        Prose(
            "The sample is drawn at random from the keys of the table; of isomorphic "
            "architectures, only one is scored. Networks are untrained. Intervals are grouped "
            "jackknife intervals over architectures; statistics for which no valid interval is "
            f"known have none. Statistics: {', '.join(STATISTICS)}, and partial_spearman, "
            "controlled for #params. Undefined scores are ranked last."
        ),
        Code(command_of(rows)),
        TableBlock("method", "Data, settings and versions", frame),
    ]


def command_of(rows: Rows) -> str:
    """The command that reproduces the rows."""
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
