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
    reduced_network_option,
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
from foretell.searching.defaults import DEMO, usual_pool
from foretell.training.settings import TrainSettings

if TYPE_CHECKING:
    import pandas as pd

    from foretell.scoring.settings import ScoreSettings
    from foretell.searching.outcome import Outcome

EXAMPLES = """\
Examples:
foretell search
foretell search --space 'nb201?channels=8' --data folder:photos --searcher aging_evolution
foretell search --space @candidates.txt --data folder:photos --trainings 3
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
            "latency": "Leave out networks whose forward pass of one sample takes longer, in ms.",
        }.items()
    ),
)


evaluate_options = together(
    option(
        "--evaluate",
        section="Your own training",
        metavar="FILE.py:FUNCTION",
        help="Train with a function of your own. Its parameters are some of network, arch, seed, "
        "budget (--epochs) and report; it returns a value, or yields pairs of an epoch and a "
        "value.",
    ),
    option(
        "--evaluate-command",
        section="Your own training",
        metavar="COMMAND",
        help="Train with a command, such as 'python train.py --arch {arch} --out {out}', that "
        "writes a number, or lines of JSON with an epoch and a value.",
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
        help="Stop a training that takes more than this many seconds.",
    ),
)


@click.command(cls=Command, epilog=EXAMPLES)
@config_option
@option(
    "--space",
    default=DEMO.space,
    help="The search space: NAME?KEY=VALUE,... for a space of `foretell list spaces`, "
    "FILE.py:NAME for your own, or @FILE for a list of models, one name per line, as for `foretell "
    "rank`.",
)
@data_options(DEMO.data, "The data set; `foretell list data` shows all forms.")
@run_option("runs/search")
@proxies_option("the six of arXiv:2101.08134, params and flops")
@option(
    "--by",
    show_default="synflow; for the space cnn, jacob_cov",
    help="The proxy by which networks are chosen for training, or a ranking of the pool, such as "
    "vote or synflow+jacob_cov.",
)
@option(
    "--searcher",
    default=DEMO.searcher,
    help="The search algorithm, NAME?KEY=VALUE,...; `foretell list searchers` shows all.",
)
@option(
    "--pool",
    type=Whole(1, 10_000_000),
    show_default="60; 200 for cnn; all models of a list",
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
    help="For comparison, also train as many networks that are chosen without scores. Always done "
    "if neither --space nor --data is given.",
)
@option(
    "--compare-size",
    is_flag=True,
    help="For comparison, also train as many of the largest networks of the pool. Always done if "
    "neither --space nor --data is given.",
)
@option(
    "--first-stage",
    type=OneOf(["halving", "econas", "econas+"]),
    help="Train all networks briefly first, by successive halving or by the reduced training of "
    "EcoNAS, and only the best in full.",
)
@batch_size_option(DEMO.batch_size)
@seed_option("The seed of the weights, the minibatch and all random choices.")
@device_option
@workers_options
@training_options(DEMO.training)
@evaluate_options
@scoring_options("--score-precision")
@reduced_network_option
@cost_options
@form_options
def search(
    space: str,
    data: str,
    run: str,
    proxies: tuple[str, ...] | None,
    by: str | None,
    searcher: str,
    device: str,
    executor: str,
    training: TrainSettings,
    scoring: "ScoreSettings",
    against: tuple[str, ...],
    limit: dict[str, float],
    compare: bool,
    compare_size: bool,
    form: Form,
    **counts: Any,
) -> None:
    """Find and train the most promising networks of a space.

    Random networks of the space are scored on one minibatch, and the most promising ones are
    trained. The best one is saved in the run folder. If the command is stopped, run it again to
    resume. To continue a finished search, run it again with more --trainings.
    """
    from foretell.cli.executor import chosen_executor
    from foretell.cli.progress import ShownProgress
    from foretell.cli.show import require_columns
    from foretell.engine.plan import DEFAULT, make_plan
    from foretell.searching.compared import SIZE, arms_of
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
    names = chosen.names
    measured = OWN if counts["evaluate"] or counts["evaluate_command"] else MEASURED
    require_columns(form, [*names, *([by] if by else []), *measured, *against, *limits])
    context = click.get_current_context()
    if not (is_given(context, "space") or is_given(context, "data")):
        compare, compare_size = True, compare_size or (SIZE in names and by != SIZE)
    arms = arms_of(compare=compare, compare_size=compare_size)
    pool = counts["pool"] or (0 if space.startswith("@") else usual_pool(space.partition("?")[0]))
    totals = {"score": pool, "train": len(arms) * counts["trainings"]}
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
            compare_size=compare_size,
            against=against,
            limits=limits,
            scoring=scoring,
            progress=progress,
            **where.options(),
            **counts,
        )
    if outcome.notice:
        note(outcome.notice)
    print_outcome(outcome, space, data, against, form)


def print_outcome(
    outcome: "Outcome", space: str, data: str, against: tuple[str, ...], form: Form
) -> None:
    """Print the trained networks, the Pareto front, what scoring gained, and what to type next."""
    from foretell.cli.show import show, width
    from foretell.cli.verdict import next_commands, verdict

    if form.kind != "text":
        show(outcome.table, form)
        return
    value = outcome.measure.name
    first = [value, "why", "test_accuracy", outcome.by, "params", "seconds"]
    show(shortened(outcome.table, outcome), form, "Trained networks", first)
    if len(outcome.front) > 1:
        title = f"Front: {value} against {','.join(against) or 'params'}"
        show(shortened(outcome.front, outcome), form, title, [value, *against, outcome.by])
    say(verdict(outcome, min(width() or 100, 100)))
    say("\n".join(["\nNext:", *(f"  {line}" for line in next_commands(outcome, space, data))]))


def shortened(table: "pd.DataFrame", outcome: "Outcome") -> "pd.DataFrame":
    """The table with short names of its architectures."""
    return table.rename(index=outcome.short, level="arch")
