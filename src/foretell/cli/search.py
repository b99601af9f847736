"""`foretell search`: the main job, its options given one by one or in a TOML file."""

import argparse
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pandas as pd
from rich.console import Console

from foretell.cli.common import (
    Commands,
    add_common,
    add_tf32,
    drop_empty,
    names,
    scoring_of,
    terminal,
)
from foretell.cli.executor import add_executor, chosen_executor
from foretell.cli.inputs import add_data, data_text
from foretell.cli.progress import SearchProgress
from foretell.cli.show import show
from foretell.engine.plan import DEFAULT
from foretell.errors import ForetellError, unknown_name
from foretell.executors.processes import available_cores
from foretell.proxies import BASELINES, PROXIES
from foretell.scoring.costs import COSTS, parse_limits
from foretell.searching.outcome import Outcome
from foretell.searching.search import DEMO, search
from foretell.searching.stages import STAGES
from foretell.training.settings import Augmentation, Optimizer, Precision, TrainSettings

__all__ = ["add_search", "add_training", "training_of"]

KINDS = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
FULL_WIDTH = 120
"""Columns of text that a table with all scores needs."""


def add_search(commands: Commands) -> None:
    """`foretell search`."""
    command = commands.add_parser(
        "search",
        help="find the networks of a space worth training on your data, and train them",
        description="Score random networks of a space on one minibatch, train the most promising "
        "ones and as many unscored ones for comparison, and save the best. A run that was stopped "
        "continues when the same command is given again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument(
        "--config", metavar="FILE", help="TOML file of these options, such as `pool = 100`"
    )
    command.add_argument(
        "--space",
        default=DEMO.space,
        help="search space, name?key=value,... or your own, FILE.py:NAME",
    )
    add_data(command, DEMO.data)
    command.add_argument("--run", default="runs/search", metavar="DIR", help="folder for the rows")
    command.add_argument("--proxies", default=",".join(DEFAULT), help="names with commas between")
    command.add_argument("--by", default=DEMO.by, help="proxy that chooses what is trained")
    command.add_argument(
        "--searcher",
        default=DEMO.searcher,
        help="name?key=value,...; see `foretell list searchers`",
    )
    command.add_argument("--pool", type=int, default=DEMO.pool, help="networks to score first")
    command.add_argument(
        "--trainings", type=int, default=DEMO.trainings, help="networks to train, of each kind"
    )
    add_training(command, DEMO.training)
    command.add_argument(
        "--first-stage",
        choices=STAGES,
        help="train all briefly, and only the best in full: by thirds, or reduced as in EcoNAS",
    )
    add_aims(command)
    command.add_argument(
        "--workers", type=int, default=available_cores(), help="processes, of one thread each"
    )
    add_executor(command)
    add_common(command, batch_size=DEMO.batch_size)
    add_tf32(command)
    command.set_defaults(command=run_search, parser=command)


def add_aims(command: argparse.ArgumentParser) -> None:
    """What a network may cost, and what accuracy is weighed against."""
    options = command.add_argument_group(
        "costs", f"{', '.join(COSTS)} (ms, measured here), or a column of a table, TABLE:COLUMN"
    )
    options.add_argument(
        "--against",
        default="",
        metavar="COSTS",
        help="weigh accuracy against these, commas between; needs --searcher nsga2",
    )
    options.add_argument(
        "--limit", default="", metavar="COST=MAX", help="what may not cost more, commas between"
    )
    for name, cost in COSTS.items():
        options.add_argument(f"--max-{name}", type=float, metavar="MAX", help=cost.unit)


def limits_of(arguments: argparse.Namespace) -> dict[str, float]:
    """What costs may be at most."""
    named = {name: getattr(arguments, f"max_{name}") for name in COSTS}
    return parse_limits(arguments.limit) | {k: v for k, v in named.items() if v is not None}


def add_training(command: argparse.ArgumentParser, usual: TrainSettings) -> None:
    """How a network is trained."""
    options = command.add_argument_group("training")
    options.add_argument("--epochs", type=int, default=usual.epochs, help="of a training")
    options.add_argument("--lr", type=float, default=usual.lr, help="learning rate at the start")
    options.add_argument(
        "--train-batch-size", type=int, default=usual.batch_size, help="samples of a step"
    )
    for name, kinds in (
        ("optimizer", Optimizer),
        ("augmentation", Augmentation),
        ("precision", Precision),
    ):
        usually = getattr(usual, name)
        options.add_argument(f"--{name}", choices=get_args(kinds), default=usually, help=" ")
    options.add_argument(
        "--weight-decay", type=float, default=usual.weight_decay, help="of all weights"
    )
    options.add_argument(
        "--patience",
        type=int,
        default=usual.patience,
        metavar="N",
        help="stop after N epochs in a row that are no better on the validation samples",
    )


def training_of(arguments: argparse.Namespace) -> TrainSettings:
    """What the options say of a training."""
    given = {field.name for field in fields(TrainSettings)} & vars(arguments).keys()
    settings = {name: getattr(arguments, name) for name in given - {"batch_size"}}
    return TrainSettings(batch_size=arguments.train_batch_size, **settings)


def configured(arguments: argparse.Namespace, words: list[str]) -> argparse.Namespace:
    """The options of the TOML file, where the command line does not say otherwise.

    Raises ForetellError for a file that is none, or an option that there is not.
    """
    path, parser = Path(arguments.config), arguments.parser
    try:
        options = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ForetellError(f"cannot read {path}: {error.strerror}; give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ForetellError(f"{path} is no TOML: {error}") from None
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    known = sorted(actions.keys() - {"help", "config", "form"})
    for name, value in options.items():
        action = actions.get(name.replace("-", "_"))
        if action is None or action.dest not in known:
            raise unknown_name("option", name, known, f"{path} has the option {name!r}")
        kind = action.type or (bool if action.nargs == 0 else str)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ForetellError(f"{path}: {name} is {value!r}; give {KINDS[kind]}")
        if action.choices is not None and value not in action.choices:
            raise ForetellError(f"{path}: {name} is {value!r}; give {' or '.join(action.choices)}")
        parser.set_defaults(**{action.dest: value})
    found = parser.parse_args(words)
    assert isinstance(found, argparse.Namespace)
    return found


def run_search(arguments: argparse.Namespace) -> None:
    """Search, with progress on a terminal, and print what came of it."""
    if arguments.config is not None:
        arguments = configured(arguments, arguments.words[1:])
    totals = {
        "score": arguments.pool,
        "train": 2 * arguments.trainings,
    }
    with (
        chosen_executor(arguments.executor, arguments.device) as where,
        SearchProgress(totals, Console(stderr=True)) as progress,
    ):
        outcome = search(
            arguments.space,
            data_text(arguments),
            run=arguments.run,
            proxies=names(arguments.proxies),
            by=arguments.by,
            searcher=arguments.searcher,
            pool=arguments.pool,
            trainings=arguments.trainings,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            training=training_of(arguments),
            first_stage=arguments.first_stage,
            against=names(arguments.against),
            limits=limits_of(arguments),
            **where.options(),
            scoring=scoring_of(arguments),
            workers=arguments.workers,
            progress=progress,
        )
    if outcome.notice:
        print(f"foretell: {outcome.notice}", file=sys.stderr)
    if arguments.form != "text":
        show(outcome.table, arguments.form, terminal())
        return
    console = terminal()
    show(in_width(outcome, arguments.by, console.width), "text", console, "Trained networks")
    if len(outcome.front) > 1:
        best = f"Front: accuracy against {arguments.against or 'params'}"
        show(in_width(outcome, arguments.by, console.width, outcome.front), "text", console, best)
    console.print(verdict(outcome, arguments.by), soft_wrap=True)


def in_width(
    outcome: Outcome, by: str, width: int, table: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The table with short names, and on a narrow terminal with the deciding score alone."""
    table = (outcome.table if table is None else table).reset_index()
    table["arch"] = table["arch"].map(outcome.short)
    if width < FULL_WIDTH:
        others = [name for name in table if name in PROXIES and name not in (by, *BASELINES)]
        table = table.drop(columns=[*others, "flops"], errors="ignore")
    return drop_empty(table.set_index(["arm", "arch"]))


def verdict(outcome: Outcome, by: str) -> str:
    """What scoring bought, in three lines."""
    chosen = outcome.table[outcome.table["test_accuracy"].notna()].reset_index()
    lines = [
        f"best {row['arm']}: {row['val_accuracy']:.2f} % on validation images, "
        f"{row['test_accuracy']:.2f} % on test images  {row['arch']}"
        for row in chosen.to_dict(orient="records")
    ]
    lines.append(
        f"Scoring by {by} took {outcome.scoring_seconds:.1f} s. The chosen network is in "
        f"{outcome.folder}/chosen.pt; foretell.load_chosen({str(outcome.folder)!r}) gives it back, "
        f"`foretell retrain {outcome.folder}` trains it in full, and "
        f"`foretell report {outcome.folder}` draws the search."
    )
    return "\n".join(lines)
