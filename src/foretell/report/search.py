"""The page of a search: what it found, how soon, and how to train the winner in full."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.proxies import PROXIES
from foretell.report.charts import curves_chart, front_chart, graph_chart, points_chart
from foretell.report.page import Block, Code, Figure, Page, Prose, TableBlock
from foretell.searching.pareto import hypervolume, undominated
from foretell.searching.read import ARMS, Found
from foretell.spaces import SPACES, graph_of, make_space
from foretell.training.settings import TrainSettings

__all__ = ["search_page"]


def search_page(found: Found) -> Page:
    """The page of `foretell search` from its rows."""
    config, best = found.config, found.best
    if best.empty:
        raise ForetellError(
            f"no training of {found.folder} came to an end; there is nothing to show"
        )
    by = config["by"]
    curves = {ARMS[arm]: found.curve(arm) for arm in ARMS if (found.trained["arm"] == arm).any()}
    sections: list[tuple[str, list[Block]]] = [
        ("Found", [TableBlock("best", "The best of each arm, chosen by validation", table(best))]),
        ("How soon", how_soon(curves)),
        ("Scores", [scores_figure(found, by)]),
        ("Accuracy against cost", trade_offs(found)),
        ("Architectures", architectures(found)),
        ("Trained networks", [TableBlock("trained", "In order", table(found.trained))]),
        ("Method", method(found)),
    ]
    return Page(
        f"Search of {config['space']['name']} on {config['data']['name']}", summary(found), sections
    )


def summary(found: Found) -> str:
    """What scores bought, in one sentence, good or bad."""
    helped = found.best.set_index("arm")["val_accuracy"].reindex(list(ARMS))
    curve = found.curve("scored")["best"]
    alone = helped["unscored"]
    text = (
        f"After {len(curve)} trainings, helped by {found.config['by']}: {helped['scored']:.2f} % "
        "on the validation samples"
    )
    if pd.isna(alone):
        return f"{text}."
    reached = curve.index[curve >= alone]
    when = f"had with {int(reached[0])}" if len(reached) else "did not reach"
    return (
        f"{text}. Without help: {alone:.2f} %, which the helped search {when}. One search is an "
        "anecdote: repeat it with several seeds."
    )


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """With the arms in words; the test accuracy of what was not chosen stays out."""
    shown = frame.assign(arm=frame["arm"].map(ARMS)).set_index("arm")
    chosen = frame.groupby("arm")["val_accuracy"].transform("max") == frame["val_accuracy"]
    shown["test_accuracy"] = shown["test_accuracy"].where(chosen.to_numpy())
    return shown[[*[name for name in shown if name not in ("arch", "spent")], "arch"]]


def how_soon(curves: Mapping[str, pd.DataFrame]) -> list[Block]:
    """The best so far against trainings and against seconds."""
    band = pd.concat(
        frame.reset_index().assign(strategy=arm, trainings=frame.index)
        for arm, frame in curves.items()
    )
    band = band.assign(mean=band["best"], low=band["best"], high=band["best"])
    axis = "best validation accuracy so far (%)"
    by_number = curves_chart(band, "trainings", "networks trained", axis, steps=True)
    by_seconds = curves_chart(band, "spent", "seconds of training and scoring", axis, steps=True)
    return [
        Figure("curves", "The best validation accuracy so far.", by_number),
        Figure("seconds", "The same against what it cost.", by_seconds),
    ]


def scores_figure(found: Found, by: str) -> Block:
    """Score against accuracy of what was trained."""
    frame = found.trained.assign(arm=found.trained["arm"].map(ARMS))
    better = "higher" if PROXIES[by].higher_is_better else "lower"
    caption = f"{by} ({better} is better) of the trained networks against their accuracy."
    return Figure("scores", caption, points_chart(frame, by, "val_accuracy"))


def trade_offs(found: Found) -> list[Block]:
    """For each cost that the search weighed, else #params: what is on the front of each arm.

    Its hypervolume is the share of the rectangle from the worst accuracy and the highest cost
    trained to the best and the lowest that the front dominates.
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
        shown = known.assign(arm=known["arm"].map(ARMS), front=on_front)
        caption = (
            f"Accuracy against {cost}; a line joins what no other network of its arm is better "
            f"than in both. Hypervolume: {', '.join(shares)}."
        )
        name = re.sub(r"[^A-Za-z0-9_]+", "-", cost)
        blocks.append(Figure(f"cost-{name}", caption, front_chart(shown, cost, "val_accuracy")))
    return blocks


def architectures(found: Found) -> list[Block]:
    """The best of each arm as a graph, or as text where the space is not at hand."""
    blocks: list[Block] = []
    about = found.config["space"]
    for row in found.best.to_dict("records"):
        caption = f"{ARMS[row['arm']].capitalize()}: {row['arch']}, {row['val_accuracy']:.2f} %."
        if about["name"] not in SPACES:
            blocks.append(Prose(caption))
            continue
        space = make_space(about["name"], about["settings"])
        chart = graph_chart(*graph_of(space, space.parse(row["arch"])))
        blocks.append(Figure(f"graph-{row['arm']}", caption, chart))
    return blocks


def method(found: Found) -> list[Block]:
    """What redoes the search, and what trains the winner in full."""
    config = found.config
    about = {
        "space": spec(config["space"]["name"], config["space"]["settings"]),
        "data": f"{config['data']['name']}, fingerprint {config['data']['fingerprint']}",
        "minibatch": "{size} samples, fingerprint {fingerprint}".format(**config["batch"]),
        "training": spec("", config["training"])[1:],
        "seconds a network scored": f"{found.seconds_a_score:.2f}",
        "made with": "; ".join(found.made_with),
    }
    own = f" --space {config['space']['name']}" if config["space"]["name"] not in SPACES else ""
    return [
        Prose(
            "Each arm trains as many networks. Validation accuracy chooses; the test accuracy is "
            "shown of what was chosen alone. The command, and the one that trains the winner in "
            "full:"
        ),
        Code(f"{command_of(config)}\n\nforetell retrain RUN{own} --epochs 100"),
        TableBlock(
            "method", "What the numbers rest on", pd.DataFrame({"value": about}).rename_axis("what")
        ),
    ]


def command_of(config: Mapping[str, Any]) -> str:
    """The command that makes the rows anew."""
    training, usual = config["training"], TrainSettings()
    options = {
        "space": spec(config["space"]["name"], config["space"]["settings"])
        if config["space"]["name"] in SPACES
        else config["space"]["name"],
        "data": config["data"]["name"],
        "by": config["by"],
        "searcher": config["searcher"],
        "pool": config["pool"],
        "trainings": config["trainings"],
        "batch-size": config["batch"]["size"],
        "seed": config["seed"],
        "epochs": training["epochs"],
        "lr": training["lr"],
        "train-batch-size": training["batch_size"],
    }
    if config.get("first_stage"):
        options["first-stage"] = config["first_stage"]
    for name in ("optimizer", "augmentation", "weight_decay", "patience", "precision"):
        if training.get(name, getattr(usual, name)) != getattr(usual, name):
            options[name.replace("_", "-")] = training[name]
    if config.get("against"):
        options["against"] = ",".join(config["against"])
    if config.get("limits"):
        options["limit"] = ",".join(f"{name}={most}" for name, most in config["limits"].items())
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items()]
    return "foretell search --run RUN \\\n  " + " \\\n  ".join(given)


def spec(name: str, settings: Mapping[str, Any]) -> str:
    """A name with settings as a shell has them.

    >>> spec("nb201", {"channels": 8, "variant": "benchmark"})
    'nb201?channels=8,variant=benchmark'
    """
    if not settings:
        return name
    return f"{name}?" + ",".join(f"{key}={value}" for key, value in settings.items())
