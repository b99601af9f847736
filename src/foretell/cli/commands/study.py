"""`foretell study`: score the architectures of a benchmark and evaluate the scores."""

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from foretell.cli.command import Command, option
from foretell.cli.options import (
    MANY,
    Form,
    batch_size_option,
    data_options,
    device_option,
    form_options,
    proxies_option,
    reduced_network_option,
    run_option,
    scoring_options,
    seed_option,
    truth_option,
    workers_options,
)
from foretell.cli.output import note
from foretell.cli.values import Names, Whole, quoted

if TYPE_CHECKING:
    import pandas as pd

    from foretell.scoring.settings import ScoreSettings
    from foretell.studies.read import Rows

SHOWN = ("spearman", "kendall", "top_overlap", "best_in_top", "regret", "partial_spearman")
SIGNS = ("sign", "sign_at_params", "sign_at_flops")
SHOWN_COLUMNS = ("kind", *SHOWN, "undefined", *SIGNS)

EXAMPLES = """\
Examples:
foretell study nb201 --data npz:cifar10.npz --sample 1000
foretell study nb201 --sample 300 --space 'nb201?channels=8' --run runs/small
foretell study search runs/study        # see `foretell study search --help`"""


class Sample(Whole):
    """A number of architectures, or None for `all`."""

    name = "sample"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The number. Fails for anything else."""
        if value == "all":
            return None
        if not str(value).strip().isdecimal():
            self.fail(f"is {quoted(value)}; give a number of architectures, or all", param, ctx)
        return super().convert(value, param, ctx)


def completed_table(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """The completions: the word `search`, which makes it `foretell study search`, and files."""
    words = [CompletionItem("search")] if "search".startswith(incomplete) else []
    return [*words, CompletionItem(incomplete, type="file")]


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("table", shell_complete=completed_table)
@data_options("digits", "The data set to score on; `foretell list data` shows all forms.")
@run_option("runs/study")
@proxies_option("the six of arXiv:2101.08134, plain, l2_norm, nwot, params and flops")
@option(
    "--sample",
    type=Sample(),
    default="1000",
    metavar="N",
    help="The number of random architectures to score, or all.",
)
@option("--repeats", type=MANY, default=1, help="The number of draws of weights and minibatch.")
@option(
    "--reduced",
    type=Names(),
    default="",
    show_default=False,
    metavar="NAMES",
    help="Reduced trainings to compare with: econas, econas+, or both, separated by a comma.",
)
@option(
    "--space",
    show_default="that of the table, built for the data",
    help="The space of the table, with other settings, such as nb201?channels=8.",
)
@batch_size_option(64)
@seed_option("The seed of the sample, the weights and the minibatch.")
@device_option
@workers_options
@scoring_options()
@reduced_network_option
@truth_option
@form_options
def study(
    table: str,
    data: str,
    proxies: tuple[str, ...] | None,
    sample: int | None,
    repeats: int,
    reduced: tuple[str, ...],
    device: str,
    executor: str,
    scoring: "ScoreSettings",
    truth: tuple[str, ...],
    form: Form,
    **settings: Any,
) -> None:
    """Evaluate how well scores rank the networks of a benchmark.

    TABLE is a table of `foretell data list`, or the path of a table. A random
    sample of its architectures is scored, and the scores are compared with the accuracies in the
    table. If the command is run again, also with more proxies, more repeats or a larger sample, it
    computes only what is missing.
    """
    from foretell.cli.executor import chosen_executor
    from foretell.cli.progress import ShownProgress
    from foretell.cli.show import require_columns
    from foretell.studies.judging import truth_columns
    from foretell.studies.read import read_study
    from foretell.studies.run import STUDIED, run_study
    from foretell.studies.table import COLUMNS
    from foretell.tables import read_table

    known = read_table(table)
    truth_columns(known, truth)
    require_columns(form, ["published", *(SHOWN_COLUMNS if form.kind == "text" else COLUMNS)])
    size = min(sample or len(known.frame), len(known.frame))
    totals = {"score": size * repeats, "train": size * len(reduced)}
    with chosen_executor(executor, device) as where, ShownProgress(totals) as progress:
        folder = run_study(
            known,
            data,
            proxies=STUDIED if proxies is None else proxies,
            sample=sample,
            repeats=repeats,
            reduced=reduced,
            scoring=scoring,
            progress=progress,
            told=note,
            **where.options(),
            **settings,
        )
    print_tables(read_study(folder), truth, form)


def print_tables(rows: "Rows", truth: tuple[str, ...], form: Form) -> None:
    """Print one table per truth column."""
    import pandas as pd

    from foretell.cli.show import show
    from foretell.studies.judging import judge

    tables = judge(rows, truth)
    if form.kind != "text":
        show(pd.concat(tables, names=["truth", "score"]), form)
        return
    for column, table in tables.items():
        title = f"{rows.table.name}: scores against {column}, n = {int(table['n'].max())}"
        show(in_words(table), form, title)


def in_words(table: "pd.DataFrame") -> "pd.DataFrame":
    """The main statistics, each with its interval in one cell."""
    from foretell.statistics.intervals import with_interval

    shown = table[["kind"]].copy()
    for name in SHOWN:
        shown[name] = [
            with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
            for row in table.to_dict(orient="records")
        ]
    shown["undefined"] = table["undefined"]
    for name in SIGNS:
        shown[name] = table[name]
    if table["published"].notna().any():
        shown["published"] = table["published"]
    return shown
