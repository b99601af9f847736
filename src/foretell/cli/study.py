"""`foretell study`: score the architectures of a benchmark and judge the scores."""

import argparse
import sys

import pandas as pd
from rich.console import Console

from foretell.cli.common import Commands, add_device, add_tf32, scoring_of
from foretell.cli.executor import add_executor, chosen_executor
from foretell.cli.inputs import add_data, data_text
from foretell.cli.progress import SearchProgress
from foretell.cli.show import show
from foretell.errors import ForetellError
from foretell.executors.processes import available_cores
from foretell.statistics.intervals import with_interval
from foretell.studies.judging import judge
from foretell.studies.read import Rows, read_study
from foretell.studies.run import STUDIED, run_study
from foretell.tables import read_table

__all__ = ["add_study"]

SHOWN = ("spearman", "kendall", "top_overlap", "best_in_top", "regret", "partial_spearman")


def add_study(commands: Commands) -> None:
    """`foretell study`."""
    study = commands.add_parser(
        "study",
        help="how well scores rank the networks of a benchmark",
        description="Score a random sample of a benchmark's architectures, or all, and hold the "
        "scores against its accuracies. Stopped, or given more proxies, repeats or a larger "
        "sample, it computes only what is missing.",
        epilog="example: foretell study nb201 --data npz:cifar10.npz --sample 1000",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    study.add_argument("table", help="an imported table (`foretell data list`), or a file of one")
    add_data(study, "digits")
    study.add_argument("--run", default="runs/study", metavar="DIR", help="folder for the rows")
    study.add_argument("--proxies", default=",".join(STUDIED), help="names with commas between")
    study.add_argument("--sample", default="1000", metavar="N", help="architectures, or all")
    study.add_argument("--repeats", type=int, default=1, help="times to draw weights and minibatch")
    study.add_argument(
        "--reduced", default="", help="reduced trainings to compare with: econas,econas+"
    )
    study.add_argument("--space", help="the table's space with other settings, nb201?channels=8")
    study.add_argument("--batch-size", type=int, default=64, help="of the minibatch")
    study.add_argument("--seed", type=int, default=0, help="of the sample, weights and minibatch")
    study.add_argument(
        "--workers", type=int, default=available_cores(), help="processes, of one thread each"
    )
    add_executor(study)
    add_device(study)
    add_tf32(study)
    add_judging(study)
    study.set_defaults(command=run_and_show)


def add_judging(command: argparse.ArgumentParser) -> None:
    """What scores are held against, and how that is printed."""
    command.add_argument(
        "--truth", metavar="COLUMNS", help="of the table, commas between; by default the first few"
    )
    form = command.add_mutually_exclusive_group()
    for name in ("json", "csv"):
        form.add_argument(
            f"--{name}",
            dest="form",
            action="store_const",
            const=name,
            default="text",
            help=f"print {name.upper()}",
        )


def run_and_show(arguments: argparse.Namespace) -> None:
    """Run the study with progress on a terminal, and print its tables."""
    table = read_table(arguments.table)
    count = sample_size(arguments.sample)
    size = min(count or len(table.frame), len(table.frame))
    reduced = listed(arguments.reduced)
    totals = {"score": size * arguments.repeats, "train": size * len(reduced)}
    with (
        chosen_executor(arguments.executor, arguments.device) as where,
        SearchProgress(totals, Console(stderr=True)) as progress,
    ):
        folder = run_study(
            table,
            data_text(arguments),
            run=arguments.run,
            proxies=listed(arguments.proxies),
            sample=count,
            repeats=arguments.repeats,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            space=arguments.space,
            reduced=reduced,
            workers=arguments.workers,
            scoring=scoring_of(arguments),
            **where.options(),
            progress=progress,
            told=lambda notice: print(f"foretell: {notice}", file=sys.stderr),
        )
    print_tables(read_study(folder), arguments)


def sample_size(text: str) -> int | None:
    """A number, or None for all."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise ForetellError(f"--sample is {text!r}; give a number of architectures, or all")
    return int(text)


def listed(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def print_tables(rows: Rows, arguments: argparse.Namespace) -> None:
    """A table for each column of truth."""
    tables = judge(rows, listed(arguments.truth))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=220)
    if arguments.form == "text":
        for truth, table in tables.items():
            title = f"{rows.table.name}: scores against {truth}, n = {int(table['n'].max())}"
            show(in_words(table), "text", console, title)
        return
    both = pd.concat(tables, names=["truth", "score"])
    show(both, arguments.form, console)


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The main statistics, each with its interval in one cell."""
    shown = table[["kind"]].copy()
    for name in SHOWN:
        shown[name] = [
            interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
            for row in table.to_dict(orient="records")
        ]
    shown["undefined"] = table["undefined"]
    shown["sign"] = table["sign"]
    if table["published"].notna().any():
        shown["published"] = table["published"]
    return shown


def interval(value: float, low: float, high: float) -> str:
    """A number and between which it lies.

    >>> interval(0.737, 0.71, 0.76)
    '0.737 [0.710, 0.760]'
    """
    return with_interval(value, low, high)
