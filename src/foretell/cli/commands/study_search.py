"""`foretell study search`: simulate searches of a benchmark with and without scores."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from foretell.cli.command import Command, option
from foretell.cli.options import MANY, Form, form_options, run_option, workers_option
from foretell.cli.output import note
from foretell.cli.values import Names

if TYPE_CHECKING:
    import pandas as pd

    from foretell.studies.simulations import Simulations

GAINED = ("without scores", "mean reached", "with scores", "times fewer")
"""The columns of the table of speed-ups."""

EXAMPLES = """\
Examples:
foretell study search runs/study --by synflow --seeds 100
foretell study search runs/study --strategies 'random random?warmup=1000' --trainings 100"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("study")
@run_option("runs/study-search")
@option("--by", default="synflow", help="The proxy whose scores the searches use.")
@option(
    "--strategies",
    show_default="thirteen, most of them those of arXiv:2101.08134",
    help="The searchers to compare, with their settings, separated by spaces, such as 'random "
    "random?warmup=1000'.",
)
@option(
    "--told",
    type=Names(),
    default="",
    show_default="the first choosing column",
    metavar="COLUMNS",
    help="The columns that searchers receive as the results of trainings, separated by commas.",
)
@option(
    "--seconds",
    metavar="TABLE:COLUMN",
    show_default="those of the table",
    help="The column with the seconds of each training.",
)
@option(
    "--report",
    type=Names(),
    default="",
    show_default="the reporting columns",
    metavar="COLUMNS",
    help="The columns by which the found networks are evaluated, separated by commas.",
)
@option("--trainings", type=MANY, default=300, help="The number of trainings per search.")
@option("--seeds", type=MANY, default=100, help="The number of searches per strategy.")
@workers_option
@form_options
def study_search(
    study: str,
    strategies: str | None,
    told: tuple[str, ...],
    report: tuple[str, ...],
    form: Form,
    **settings: Any,
) -> None:
    """Simulate searches on a benchmark, with and without scores.

    STUDY is the run folder of a finished `foretell study`. Its table is searched many times with
    different seeds, with and without its scores. Trainings are looked up in the table, so a search
    takes only seconds.
    """
    from foretell.cli.progress import ShownProgress
    from foretell.cli.show import require_columns
    from foretell.studies.curves import AT
    from foretell.studies.read import read_study
    from foretell.studies.searches import STRATEGIES, columns_told, run_simulations
    from foretell.studies.simulations import read_simulations

    rows = read_study(study)
    columns_told(rows.table, report)
    counts = [f"after {count}" for count in (*AT, settings["trainings"])]
    require_columns(form, [*counts, *(GAINED if form.kind == "text" else ())])
    with ShownProgress() as progress:
        folder = run_simulations(
            rows,
            strategies=STRATEGIES if strategies is None else strategies.split(),
            told=told,
            progress=progress,
            noted=note,
            **settings,
        )
    print_found(read_simulations(folder), told, report, form)


def print_found(
    found: "Simulations", told: tuple[str, ...], report: tuple[str, ...], form: Form
) -> None:
    """Print the accuracies after several numbers of trainings, and the speed-ups."""
    import pandas as pd

    from foretell.cli.show import show
    from foretell.studies.curves import AT, after, pairs_of, speedups

    every = {pair: found.curves(*pair) for pair in pairs_of(found, list(told), list(report))}
    if form.kind != "text":
        tables = {pair: after(curves) for pair, curves in every.items()}
        show(pd.concat(tables, names=["told", "reported"]), form)
        return
    for (seen, judged), curves in every.items():
        seeds = max(len(curve) for curve in curves.values())
        title = f"{found.benchmark.table.name}: {judged} of the best by {seen}, {seeds} seeds"
        show_own(after(curves), form, title)
        gained = speedups(curves, [count for count in AT if count > 20])
        if not gained.empty:
            show_own(
                gained_in_words(gained),
                form,
                "Trainings that a search with scores needs for the same mean",
            )


def show_own(table: "pd.DataFrame", form: Form, title: str) -> None:
    """Show the requested columns that the table has; show nothing if it has none of them."""
    from foretell.cli.show import show

    own = tuple(name for name in form.columns if name in table)
    if own or not form.columns:
        show(table, replace(form, columns=own), title)


def gained_in_words(gained: "pd.DataFrame") -> "pd.DataFrame":
    """The speed-ups, each with its interval in the same cell."""
    from foretell.statistics.intervals import with_interval

    table = gained.copy()
    table["times fewer"] = [
        with_interval(row["speedup"], row["speedup_low"], row["speedup_high"])
        for row in gained.to_dict(orient="records")
    ]
    named = {"at": GAINED[0], "target": GAINED[1], "helped": GAINED[2]}
    kept = table.set_index("strategy")[["at", "target", "helped", "times fewer"]]
    return kept.rename(columns=named)
