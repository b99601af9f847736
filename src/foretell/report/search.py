"""The page of a search: its results, its progress, and how to train the best network in full."""

import re
import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from foretell.proxies import higher_is_better
from foretell.rankings import is_ranking, oriented, points_by
from foretell.report.charts import ARM, curves_chart
from foretell.report.decision import decision
from foretell.report.page import Block, Code, Figure, Page, Prose, TableBlock
from foretell.report.search_charts import (
    by_option,
    front_chart,
    graph_chart,
    learning_chart,
    options_chart,
    points_chart,
    pool_chart,
)
from foretell.searching.compared import LARGEST, SCORED, UNSCORED
from foretell.searching.pareto import hypervolume, undominated
from foretell.searching.read import ARMS, Found
from foretell.spaces import SPACES, Graphs, make_space
from foretell.training.settings import TrainSettings

__all__ = ["search_page"]

BEFORE_TRAINING = (
    "No training has finished yet. This page shows the scores so far; write it again when "
    "`foretell search` has trained networks."
)


def search_page(found: Found) -> Page:
    """The page of a `foretell search` run, from its rows."""
    config, best = found.config, found.best
    by, measure = config["by"], found.measure
    title = f"Search of {config['space']['name']} on {config['data']['name']}"
    if best.empty:
        return Page(
            title, BEFORE_TRAINING, [("Scores", scored(found, by)), ("Method", method(found))]
        )
    sections: list[tuple[str, list[Block]]] = [
        ("Best networks", [TableBlock("best", f"By {measure.title}", table(found, best))]),
        ("What to train next", decision(found)),
        ("Progress", how_soon(found)),
        ("Scores", scores_figures(found, by)),
        ("Accuracy against cost", trade_offs(found)),
        ("Choices", choices(found)),
        ("Architectures", architectures(found)),
        ("Trained networks", networks(found)),
        ("Method", method(found)),
    ]
    sections = [(heading, blocks) for heading, blocks in sections if blocks]
    return Page(title, summary(found), sections)


def scored(found: Found, by: str) -> list[Block]:
    """The networks that have been scored so far, the most promising first."""
    points = points_of(found, by)
    order = points.sort_values(ascending=False, na_position="last").index
    pool = found.pool.assign(**{by: points}) if is_ranking(by) else found.pool
    shown = pool.loc[order, [by, *(name for name in pool if name != by)]]
    caption = f"The {len(shown)} networks that have been scored so far, the best by {by} first."
    return [TableBlock("scored", caption, shown.rename_axis("architecture"))]


def points_of(found: Found, by: str) -> pd.Series:
    """The points of each network of the pool by a score or ranking; more is better."""
    return points_by(by, found.pool) if is_ranking(by) else oriented(found.pool[[by]])[by]


def summary(found: Found) -> str:
    """Whether the scores helped, in a few sentences."""
    helped = found.best.set_index("arm")["val_accuracy"].reindex(list(ARMS))
    curve = found.curve(SCORED)["best"]
    alone = helped[UNSCORED]
    text = (
        f"After {len(curve)} trainings, the search with {found.config['by']} scores reached "
        f"{found.measure.said(helped[SCORED])}"
    )
    if count := len(found.told):
        best = found.measure.said(found.told["val_accuracy"].max())
        text += (
            f". It used {count} result{'s' * (count > 1)} from elsewhere, the best of them {best}"
        )
    if pd.isna(alone):
        return f"{text}."
    reached = curve.index[curve >= alone]
    count = int(reached[0]) if len(reached) else 0
    plural = "s" * (count > 1)
    when = f"reached after {count} training{plural}" if count else "did not reach"
    return (
        f"{text}. The search without scores reached {found.measure.said(alone)}, which the search "
        f"with scores {when}. A single search is anecdotal evidence: repeat it with several seeds."
    )


def networks(found: Found) -> list[Block]:
    """The networks that were trained, and those with results from elsewhere."""
    blocks: list[Block] = [
        TableBlock("trained", "In the order of training", table(found, found.trained))
    ]
    if len(found.told):
        own = found.measure.shown(found.told).set_index("arch").rename_axis("architecture")
        blocks.append(TableBlock("told", "Results from elsewhere", own))
    epochs = found.epochs.dropna(subset="val_accuracy")
    if epochs.groupby(["arm", "arch"]).size().max() > 1:
        shown = labelled(found, epochs, "value")
        caption = f"The {found.measure.title} of each training by epoch."
        blocks.append(Figure("learning", caption, learning_chart(shown, found.measure.title)))
    return blocks


def labelled(found: Found, frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """The rows with the arms in words, and with the results in a column of the name `value`."""
    shown = found.measure.shown(frame.assign(arm=frame["arm"].map(ARMS)))
    return shown.rename(columns={found.measure.name: value})


def table(found: Found, frame: pd.DataFrame) -> pd.DataFrame:
    """The table by architecture: accuracies and the deciding score first, the arms in words.

    Only chosen networks have a test accuracy.
    """
    shown = frame.assign(arm=frame["arm"].map(ARMS)).set_index("arch").rename_axis("architecture")
    chosen = frame.groupby("arm")["val_accuracy"].transform("max") == frame["val_accuracy"]
    shown["test_accuracy"] = shown["test_accuracy"].where(chosen.to_numpy())
    shown = found.measure.shown(shown)
    by = found.config["by"]
    first = ("arm", "number", found.measure.name, "test_accuracy", by, "params", "flops", "seconds")
    rest = [name for name in shown if name not in (*first, "spent")]
    return shown[[*(name for name in first if name in shown), *rest]]


def how_soon(found: Found) -> list[Block]:
    """The best value so far against trainings and against seconds."""
    measure = found.measure
    curves = {ARMS[arm]: found.curve(arm) for arm in ARMS if (found.trained["arm"] == arm).any()}
    band = pd.concat(
        frame.reset_index().assign(strategy=arm, trainings=frame.index)
        for arm, frame in curves.items()
    )
    best = measure.signed(band["best"])
    band = band.assign(mean=best, low=best, high=best)
    axis = f"best {measure.title} so far"
    lines = partial(curves_chart, band, report=axis, steps=True, scale=ARM["scale"])
    by_number = lines(across="trainings", title="networks trained")
    by_seconds = lines(across="spent", title="seconds of training and scoring")
    return [
        Figure("curves", f"The {axis}, by trained networks.", by_number),
        Figure("seconds", f"The {axis}, by time.", by_seconds),
    ]


def scores_figures(found: Found, by: str) -> list[Block]:
    """The trained networks by score against their results, and their place in the whole pool."""
    title = found.measure.title
    across = f"rank by {by}, % from the top"
    points = points_of(found, by)
    place = points.rank(pct=True, ascending=False, na_option="bottom").mul(100)
    shown = labelled(found, found.trained, title)
    shown[across] = place.reindex(shown["arch"]).to_numpy()
    caption = (
        f"The rank of each trained network by {by} among the {len(found.pool)} scored networks, "
        f"and its {title}. The networks that the score ranks first are on the left."
    )
    if not is_ranking(by) and higher_is_better(by) is None:
        caption += " They are those with the highest values: it is unknown whether higher or lower "
        caption += "is better, since the proxy is not registered here."
    chart = points_chart(shown, across, title)
    blocks: list[Block] = [Figure("scores", caption, chart)]
    values = found.pool.get(by, pd.Series(dtype=float))
    if values.nunique() > 2:
        better = {True: " (higher is better)", False: " (lower is better)", None: ""}
        caption = (
            f"The distribution of {by}{better[higher_is_better(by)]} over the {len(found.pool)} "
            "scored networks, with a tick for each trained network. The highest and the lowest 2 % "
            "are drawn at the ends."
        )
        ticks = shown[["arm", "arch"]].assign(value=shown[by])
        blocks.append(Figure("pool", caption, pool_chart(values, ticks, by)))
    return blocks


def choices(found: Found) -> list[Block]:
    """The results by the options of each choice, if architectures are written as options."""
    shown = labelled(found, found.trained.dropna(subset="val_accuracy"), "value")
    options = by_option(shown[["arm", "arch", "value"]])
    if options.empty:
        return []
    caption = (
        f"The {found.measure.title} of each trained network by its options; lines mark the means. "
        "The networks were chosen, not drawn at random, so differences may have other causes."
    )
    return [Figure("options", caption, options_chart(options, found.measure.title))]


def trade_offs(found: Found) -> list[Block]:
    """The Pareto front of each arm for each cost that the search optimised, otherwise #params.

    The hypervolume of a front is the share that it dominates of the rectangle between the worst
    accuracy and highest cost and the best accuracy and lowest cost of all trained networks.
    """
    blocks: list[Block] = []
    costs = found.config.get("against") or ["params"]
    for cost in costs:
        if cost not in found.trained:
            continue
        known = found.trained.dropna(subset=["val_accuracy", cost])
        points = np.column_stack([-known["val_accuracy"], known[cost]]).astype(float)
        low, high = points.min(axis=0), points.max(axis=0)
        scaled = (points - low) / np.where(high > low, high - low, 1.0)
        on_front, shares = pd.Series(False, known.index), []
        for arm, label in ARMS.items():
            own = (known["arm"] == arm).to_numpy()
            on_front |= pd.Series(own, known.index)
            on_front[own] = undominated(scaled[own])
            if own.any():
                shares.append(f"{hypervolume(scaled[own], (1.0, 1.0)):.2f} {label}")
        shown = labelled(found, known.assign(front=on_front), found.measure.title)
        caption = (
            f"The {found.measure.title} against {cost}; a line connects the networks of the Pareto "
            "front, than which no other network is better in both. Hypervolume of the fronts: "
            f"{', '.join(shares)}."
        )
        chart = front_chart(shown, cost, found.measure.title)
        blocks.append(Figure(front_of(cost), caption, chart))
    return blocks


def front_of(cost: str) -> str:
    """The name of the figure with the Pareto fronts for a cost.

    >>> front_of("nb201:cifar10/latency")
    'cost-nb201-cifar10-latency'
    """
    return f"cost-{re.sub(r'[^A-Za-z0-9_]+', '-', cost)}"


def architectures(found: Found) -> list[Block]:
    """The best network of each arm as a graph, if the space is registered and defines graphs."""
    blocks: list[Block] = []
    about = found.config["space"]
    space = make_space(about["name"], about["settings"]) if about["name"] in SPACES else None
    if not isinstance(space, Graphs):
        return []
    for row in found.best.to_dict("records"):
        value = found.measure.said(row["val_accuracy"])
        caption = f"{ARMS[row['arm']].capitalize()}: {row['arch']}, with {value}."
        chart = graph_chart(*space.graph(space.parse(row["arch"])))
        blocks.append(Figure(f"graph-{row['arm']}", caption, chart))
    return blocks


def method(found: Found) -> list[Block]:
    """How to reproduce the search, and how to train the best network in full."""
    config = found.config
    about = {
        "space": spec(config["space"]["name"], config["space"]["settings"]),
        "data": f"{config['data']['name']}, fingerprint {config['data']['fingerprint']}",
        "minibatch": "{size} samples, fingerprint {fingerprint}".format(**config["batch"]),
        "training": spec("", config["training"])[1:],
        "seconds per scored network": f"{found.seconds_a_score:.2f}",
        "made with": "; ".join(found.made_with),
        **({"rows": found.left_out} if found.left_out else {}),
    }
    options = {UNSCORED: " --compare", LARGEST: " --compare-size"}
    compared = "".join(options.get(arm, "") for arm in found.trained["arm"].unique())
    own = f" --space {space_in(config)}" if config["space"]["name"] not in SPACES else ""
    return [
        Prose(
            "If the space was also searched without scores, both searches train the same number of "
            "networks. The best one is chosen by validation accuracy; test accuracies are shown "
            "for the chosen networks only. The first command reproduces the search, the second "
            "trains the best network in full:"
        ),
        Code(f"{command_of(config)}{compared}\n\nforetell retrain RUN{own} --epochs 100"),
        TableBlock(
            "method",
            "Data, settings and versions",
            pd.DataFrame({"value": about}).rename_axis("item"),
        ),
    ]


def command_of(config: Mapping[str, Any]) -> str:
    """The command that reproduces the rows."""
    training, usual = config["training"], TrainSettings()
    options = {
        "space": space_in(config),
        "data": config["data"]["name"],
        "by": config["by"],
        "searcher": config["searcher"],
        "pool": config["pool"],
        "trainings": config["trainings"],
        "batch-size": config["batch"]["size"],
        "seed": config["seed"],
    }
    if "epochs" in training:
        options |= {
            "epochs": training["epochs"],
            "lr": training["lr"],
            "train-batch-size": training["batch_size"],
        }
    else:  # a training of the user's own
        if "evaluate_command" in training:
            options["evaluate-command"] = training["evaluate_command"]
        else:
            options["evaluate"] = f"FILE.py:{training['evaluate']}"
        options["epochs"] = training["budget"]
        if "evaluate_timeout" in config:
            options["evaluate-timeout"] = f"{config['evaluate_timeout']:g}"
    if config.get("first_stage"):
        options["first-stage"] = config["first_stage"]
    for name in ("optimizer", "augmentation", "weight_decay", "patience", "precision"):
        if training.get(name, getattr(usual, name)) != getattr(usual, name):
            options[name.replace("_", "-")] = training[name]
    if config.get("against"):
        options["against"] = ",".join(config["against"])
    if config.get("limits"):
        options["limit"] = ",".join(f"{name}={most}" for name, most in config["limits"].items())
    known = {name: value for name, value in options.items() if value is not None}
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in known.items()]
    if training.get("lower_is_better"):
        given.append("--lower-is-better")
    return "foretell search --run RUN \\\n  " + " \\\n  ".join(given)


def space_in(config: Mapping[str, Any]) -> str:
    """The space as it is written on the command line, `@FILE` for a list of models."""
    name, settings = config["space"]["name"], config["space"]["settings"]
    if name == "models":
        return "@FILE"
    return spec(name, settings) if name in SPACES else str(name)


def spec(name: str, settings: Mapping[str, Any]) -> str:
    """A name with settings, as it is written on the command line.

    >>> spec("nb201", {"channels": 8, "variant": "benchmark"})
    'nb201?channels=8,variant=benchmark'
    """
    if not settings:
        return name
    return f"{name}?" + ",".join(f"{key}={value}" for key, value in settings.items())
