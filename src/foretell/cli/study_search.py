"""`foretell study search`: let searchers loose on a table, with and without the help of scores."""

import argparse

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from foretell.cli.common import Commands
from foretell.cli.show import show
from foretell.cli.study import interval, listed
from foretell.executors.processes import available_cores
from foretell.studies.curves import AT, after, pairs_of, speedups
from foretell.studies.simulations import STRATEGIES, Simulations, read_simulations, run_simulations

__all__ = ["add_study_search"]


def add_study_search(commands: Commands) -> None:
    """`foretell study search`, which `main` writes in one word."""
    command = commands.add_parser(
        "study-search",
        prog="foretell study search",
        help="what searches find on a benchmark, with and without scores (`study search`)",
        description="Search the table of a finished study, again and again from other seeds, with "
        "and without the help of its scores. Trainings are looked up, so it takes minutes.",
        epilog="example: foretell study search runs/nb201 --by synflow --seeds 100",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("study", metavar="STUDY", help="run folder of `foretell study`")
    command.add_argument("--run", default="runs/study-search", metavar="DIR", help="for the rows")
    command.add_argument("--by", default="synflow", help="the score that helps")
    command.add_argument(
        "--strategies",
        default=" ".join(STRATEGIES),
        help="with spaces between; a searcher and its settings, aging_evolution?warmup=3000",
    )
    command.add_argument(
        "--told",
        help="columns that searchers are told, commas between; by default one to choose by",
    )
    command.add_argument(
        "--seconds", metavar="TABLE:COLUMN", help="what trainings take, if the table does not say"
    )
    command.add_argument("--report", help="columns to judge by; by default those to report")
    command.add_argument("--trainings", type=int, default=300, help="networks a search trains")
    command.add_argument("--seeds", type=int, default=100, help="searches of each strategy")
    command.add_argument(
        "--workers", type=int, default=available_cores(), help="processes, of one thread each"
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
    command.set_defaults(command=run_and_show)


def run_and_show(arguments: argparse.Namespace) -> None:
    """Run the searches with progress on a terminal, and print what they found."""
    console = Console(stderr=True)
    columns = (TextColumn("searching"), BarColumn(30), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        task = p.add_task("searching", total=None)
        folder = run_simulations(
            arguments.study,
            run=arguments.run,
            by=arguments.by,
            strategies=arguments.strategies.split(),
            told=listed(arguments.told),
            seconds=arguments.seconds,
            trainings=arguments.trainings,
            seeds=arguments.seeds,
            workers=arguments.workers,
            progress=lambda event: p.update(task, completed=event.done, total=event.total),
        )
    print_found(read_simulations(folder), arguments)


def print_found(found: Simulations, arguments: argparse.Namespace) -> None:
    """For each column told and reported, what was found after some trainings, and the speed-ups."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    pairs = pairs_of(found, listed(arguments.told), listed(arguments.report))
    every = {pair: found.curves(*pair) for pair in pairs}
    if arguments.form != "text":
        tables = {pair: after(curves) for pair, curves in every.items()}
        show(pd.concat(tables, names=["told", "reported"]), arguments.form, console)
        return
    for (told, report), curves in every.items():
        seeds = max(len(curve) for curve in curves.values())
        title = f"{found.benchmark.table.name}: {report} of the best by {told}, {seeds} seeds"
        show(after(curves), "text", console, title)
        gained = speedups(curves, [count for count in AT if count > 20])
        if not gained.empty:
            show(gained_in_words(gained), "text", console, "trainings for what it has alone")


def gained_in_words(gained: pd.DataFrame) -> pd.DataFrame:
    """The speed-ups with their intervals in one cell."""
    table = gained.copy()
    table["times fewer"] = [
        interval(row["speedup"], row["speedup_low"], row["speedup_high"])
        for row in gained.to_dict(orient="records")
    ]
    named = {"at": "as alone after", "helped": "needs"}
    return table.set_index("strategy")[["at", "target", "helped", "times fewer"]].rename(
        columns=named
    )
