"""`foretell search`: find and train promising networks of a space."""

from typing import TYPE_CHECKING, Any

import click

from foretell.cli.command import Command, option
from foretell.cli.config import config_option
from foretell.cli.ignored import is_given
from foretell.cli.options import (
    Form,
    batch_size_option,
    data_options,
    device_option,
    form_options,
    proxies_option,
    run_option,
    scoring_options,
    seed_option,
    together,
    training_options,
    workers_options,
)
from foretell.cli.output import note, say
from foretell.cli.values import Limits, Names, Number, OneOf, Whole
from foretell.errors import ForetellError
from foretell.searching.defaults import DEMO
from foretell.training.settings import TrainSettings

if TYPE_CHECKING:
    import pandas as pd

    from foretell.scoring.settings import ScoreSettings
    from foretell.searching.outcome import Outcome

EXAMPLES = """\
Examples:
foretell search
foretell search --space 'nb201?channels=8' --data folder:photos --searcher aging_evolution
foretell search --config search.toml --trainings 10"""

cost_options = together(
    option(
        "--against",
        section="Costs",
        type=Names(),
        default="",
        show_default=False,
        metavar="COSTS",
        help="Optimise accuracy together with these costs, separated by commas; requires "
        "--searcher nsga2. A cost is params, flops, latency (in ms, measured on this machine), or "
        "a column of a table, TABLE:COLUMN.",
    ),
    option(
        "--limit",
        section="Costs",
        type=Limits(),
        default="",
        show_default=False,
        metavar="COST=MAX",
        help="Leave out networks that cost more than this; separate several limits by commas.",
    ),
    *(
        option(f"--max-{cost}", section="Costs", type=Number(0), metavar="MAX", help=about)
        for cost, about in {
            "params": "Leave out networks with more trainable parameters.",
            "flops": "Leave out networks with more FLOPs in the forward pass of one sample.",
            "latency": "Leave out networks whose forward pass of one sample takes more ms.",
        }.items()
    ),
)


evaluate_options = together(
    option(
        "--evaluate",
        section="Your own training",
        metavar="FILE.py:FUNCTION",
        help="Train by a function of your own, of some of network, arch, seed, budget (--epochs) "
        "and report, that returns a value or yields epochs and values.",
    ),
    option(
        "--evaluate-command",
        section="Your own training",
        metavar="COMMAND",
        help="Train by a command, such as 'python train.py --arch {arch} --out {out}', that writes "
        "a number, or lines with an epoch and a value as JSON.",
    ),
    option(
        "--lower-is-better",
        section="Your own training",
        is_flag=True,
        help="The values are losses or errors.",
    ),
    option(
        "--evaluate-timeout",
        section="Your own training",
        type=Number(0),
        metavar="SECONDS",
        help="The most seconds for one training.",
    ),
)


@click.command(cls=Command, epilog=EXAMPLES)
@config_option
@option(
    "--space",
    default=DEMO.space,
    help="The search space, NAME?KEY=VALUE,..., or your own, FILE.py:NAME.",
)
@data_options(DEMO.data, "The data set; `foretell list data` shows all forms.")
@run_option("runs/search")
@proxies_option("the paper's six, params and flops")
@option("--by", default=DEMO.by, help="The proxy that selects the networks to train.")
@option(
    "--searcher",
    default=DEMO.searcher,
    help="The search algorithm, NAME?KEY=VALUE,...; `foretell list searchers` shows all.",
)
@option(
    "--pool",
    type=Whole(1, 10_000_000),
    default=DEMO.pool,
    help="The number of random networks to score.",
)
@option(
    "--trainings",
    type=Whole(1),
    default=DEMO.trainings,
    help="The number of networks to train.",
)
@option(
    "--compare",
    is_flag=True,
    help="Train as many networks without the help of scores, for comparison; always done without "
    "--space and --data.",
)
@option(
    "--first-stage",
    type=OneOf(["halving", "econas", "econas+"]),
    help="Train all networks briefly and only the best in full, by successive halving or by the "
    "reduced training of EcoNAS.",
)
@batch_size_option(DEMO.batch_size)
@seed_option("The seed of weights, minibatch and choices.")
@device_option
@workers_options
@training_options(DEMO.training)
@evaluate_options
@scoring_options("--score-precision")
@cost_options
@form_options
def search(
    space: str,
    data: str,
    run: str,
    proxies: tuple[str, ...] | None,
    by: str,
    searcher: str,
    device: str,
    executor: str,
    training: TrainSettings,
    scoring: "ScoreSettings",
    against: tuple[str, ...],
    limit: dict[str, float],
    compare: bool,
    form: Form,
    **counts: Any,
) -> None:
    """Find the networks of a space that are worth training, and train them.

    Random networks of the space are scored on one minibatch, and the most promising ones are
    trained. The best one is saved in the run folder. If the command is stopped, run it again to
    continue; when it has ended, run it with more --trainings to go on.
    """
    from foretell.cli.executor import chosen_executor
    from foretell.cli.progress import ShownProgress
    from foretell.cli.show import require_columns
    from foretell.engine.plan import DEFAULT, make_plan
    from foretell.searching.outcome import MEASURED, OWN
    from foretell.searching.search import search

    limits = limit | {
        cost: most
        for cost in ("params", "flops", "latency")
        if (most := counts.pop(f"max_{cost}")) is not None
    }
    if twice := [cost for cost in limit if limits[cost] != limit[cost]]:
        raise ForetellError(f"--max-{twice[0]} and --limit differ; give one of them")
    chosen = make_plan(DEFAULT if proxies is None else proxies)
    names = [proxy.name for proxy in chosen.proxies]
    measured = OWN if counts["evaluate"] or counts["evaluate_command"] else MEASURED
    require_columns(form, [*names, *measured, *against, *limits])
    context = click.get_current_context()
    compare = compare or not (is_given(context, "space") or is_given(context, "data"))
    totals = {"score": counts["pool"], "train": (1 + compare) * counts["trainings"]}
    with chosen_executor(executor, device) as where, ShownProgress(totals) as progress:
        outcome = search(
            space,
            data,
            run=run,
            proxies=DEFAULT if proxies is None else proxies,
            by=by,
            searcher=searcher,
            training=training,
            compare=compare,
            against=against,
            limits=limits,
            scoring=scoring,
            progress=progress,
            **where.options(),
            **counts,
        )
    if outcome.notice:
        note(outcome.notice)
    print_outcome(outcome, by, against, form)


def print_outcome(outcome: "Outcome", by: str, against: tuple[str, ...], form: Form) -> None:
    """Print the trained networks, the Pareto front, and what scoring gained."""
    from foretell.cli.show import show

    if form.kind != "text":
        show(outcome.table, form)
        return
    value = outcome.measure.name
    first = [value, "test_accuracy", by, "why", "params", "seconds"]
    show(shortened(outcome.table, outcome), form, "Trained networks", first)
    if len(outcome.front) > 1:
        title = f"Front: {value} against {','.join(against) or 'params'}"
        show(shortened(outcome.front, outcome), form, title, [value, *against, by])
    say(verdict(outcome, by))


def shortened(table: "pd.DataFrame", outcome: "Outcome") -> "pd.DataFrame":
    """The table with short names of its architectures."""
    return table.rename(index=outcome.short, level="arch")


def verdict(outcome: "Outcome", by: str) -> str:
    """The results of the search in a few lines."""
    rows = outcome.table.reset_index().to_dict(orient="records")
    if outcome.measure.own:
        best = best_of([row for row in rows if row["arm"] != "told"], outcome)
        lines = [f"best: {best['value']:g}  {best['arch']}"]
    else:
        lines = [
            f"best {row['arm']}: {row['val_accuracy']:.2f} % on validation images, "
            f"{row['test_accuracy']:.2f} % on test images  {row['arch']}"
            for row in rows
            if row["test_accuracy"] is not None
        ]
    best = best_of(rows, outcome)
    if best["arm"] == "told":
        value = best[outcome.measure.name]
        lines.append(f"best told: {value:g}  {best['arch']}; its weights are where it was trained.")
    return "\n".join([*lines, closing(outcome, by)])


def best_of(rows: "list[dict[Any, Any]]", outcome: "Outcome") -> "dict[Any, Any]":
    """The row with the best value."""
    name, lower = outcome.measure.name, outcome.measure.lower_is_better
    known = [row for row in rows if row[name] == row[name]]  # nan is not equal to itself
    return min(known, key=lambda row: row[name] if lower else -row[name])


def closing(outcome: "Outcome", by: str) -> str:
    """What scoring took, and what to do with the result."""
    return (
        f"Scoring by {by} took {outcome.scoring_seconds:.1f} s. The chosen network is in "
        f"{outcome.folder}/chosen.pt: foretell.load_chosen({str(outcome.folder)!r}) loads it, "
        f"`foretell retrain {outcome.folder}` trains it in full, and "
        f"`foretell report {outcome.folder}` writes a report of the search."
    )
