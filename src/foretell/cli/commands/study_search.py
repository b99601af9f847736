"""`foretell study search`: what searches find on a benchmark, with and without scores."""

from typing import TYPE_CHECKING, Any

import click

from foretell.cli.command import Command, option
from foretell.cli.options import Form, form_options, run_option, workers_option
from foretell.cli.values import Names, Whole

if TYPE_CHECKING:
    import pandas as pd

    from foretell.studies.simulations import Simulations

EXAMPLES = """\
Examples:
foretell study search runs/study --by synflow --seeds 100
foretell study search runs/study --strategies 'random random?warmup=1000' --trainings 100"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("study")
@run_option("runs/study-search")
@option("--by", default="synflow", help="The score that helps the searches.")
@option(
    "--strategies",
    show_default="thirteen of the paper's",
    help="The searchers to compare, with spaces between, each with its settings, such as "
    "aging_evolution?warmup=3000.",
)
@option(
    "--told",
    type=Names(),
    default="",
    show_default="the first to choose by",
    metavar="COLUMNS",
    help="The columns whose values searchers see as the result of a training, with commas between.",
)
@option(
    "--seconds",
    metavar="TABLE:COLUMN",
    show_default="as the table says",
    help="How many seconds each training takes.",
)
@option(
    "--report",
    type=Names(),
    default="",
    show_default="those to report",
    metavar="COLUMNS",
    help="The columns that the networks found are judged by, with commas between.",
)
@option("--trainings", type=Whole(1), default=300, help="How many networks each search trains.")
@option("--seeds", type=Whole(1), default=100, help="How many times each strategy searches.")
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
    """Search a benchmark with and without scores.

    STUDY is the run folder of a finished `foretell study`. Its table is searched again and again
    from other seeds, with and without the help of its scores. Trainings are looked up in the
    table, so that it takes minutes.
    """
    from foretell.cli.progress import ShownProgress
    from foretell.studies.searches import STRATEGIES, run_simulations
    from foretell.studies.simulations import read_simulations

    with ShownProgress() as progress:
        folder = run_simulations(
            study,
            strategies=STRATEGIES if strategies is None else strategies.split(),
            told=told,
            progress=progress,
            **settings,
        )
    print_found(read_simulations(folder), told, report, form)


def print_found(
    found: "Simulations", told: tuple[str, ...], report: tuple[str, ...], form: Form
) -> None:
    """For each column seen and reported, what was found after some trainings, and the speed-ups."""
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
        show(after(curves), form, title)
        gained = speedups(curves, [count for count in AT if count > 20])
        if not gained.empty:
            show(gained_in_words(gained), form, "trainings for what it has alone")


def gained_in_words(gained: "pd.DataFrame") -> "pd.DataFrame":
    """The speed-ups with their intervals in one cell."""
    from foretell.statistics.intervals import with_interval

    table = gained.copy()
    table["times fewer"] = [
        with_interval(row["speedup"], row["speedup_low"], row["speedup_high"])
        for row in gained.to_dict(orient="records")
    ]
    named = {"at": "as alone after", "helped": "needs"}
    kept = table.set_index("strategy")[["at", "target", "helped", "times fewer"]]
    return kept.rename(columns=named)
