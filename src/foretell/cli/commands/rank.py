"""`foretell rank`: rank untrained networks by their scores."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from foretell.cli.command import Command, option
from foretell.cli.options import MANY, Form, Given, reduced_network_option, subject_options
from foretell.cli.output import note, say
from foretell.cli.values import Listed
from foretell.errors import ForetellError

if TYPE_CHECKING:
    import pandas as pd

    from foretell.scoring.settings import ScoreSettings

EXAMPLES = """\
Examples:
foretell rank nb201:333013 nb201:111111 nb201:440001 --by synflow
foretell rank 'torchvision:resnet*' nets.py:small --data folder:photos
foretell rank @candidates.txt --at-equal flops_used
foretell rank @candidates.txt --best 20
foretell rank @candidates.txt --proxies synflow,jacob_cov,snip --csv"""


def sizes() -> tuple[str, ...]:
    """The baselines that measure size; pandas, which their module needs, is slow to import."""
    from foretell.rankings.sizes import SIZES

    return SIZES


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@option(
    "--by",
    metavar="NAME",
    show_default="anchored, or if the proxies lack one of its scores, vote or the first proxy",
    help="The proxy to rank by, or a ranking from `foretell list rankings`, such as vote, "
    "log_rank:snip,flops or snip+flops. With a ranking, one more model can change the order of the "
    "others.",
)
@option(
    "--at-equal",
    type=Listed("size", sizes),
    metavar="SIZE",
    help="Rank only among networks of about equal size, measured by a baseline such as params or "
    "flops_used, in up to ten strata.",
)
@option(
    "--best",
    type=MANY,
    metavar="K",
    show_default="all are scored in full",
    help="Find the best K without scoring all in full: networks that after a first round on a few "
    "samples are unlikely to be among them are left out, so that at most 5 % of the K are lost in "
    "expectation. For more than 60 networks, and more than 4 K.",
)
@subject_options("what --by needs, and sizes: params, flops, depth and others")
@reduced_network_option
def rank(
    models: tuple[str, ...],
    by: str | None,
    at_equal: str | None,
    best: int | None,
    given: Given,
    batches: int,
    seeds: int,
    proxies: tuple[str, ...] | None,
    scoring: "ScoreSettings",
    reduced_network: bool,
    form: Form,
) -> None:
    """Rank untrained networks, the most promising first.

    Each MODEL is a name as in `foretell list models`, a pattern such as 'torchvision:resnet*', or
    @FILE for a file with one name per line. A model that is named twice counts once. All
    models are scored on the same samples.
    """
    from foretell.cli.inputs import read_inputs
    from foretell.cli.progress import ShownProgress
    from foretell.cli.show import require_columns, show
    from foretell.proxies import PROXIES
    from foretell.proxies.stability import unstable
    from foretell.rankings.sizes import SIZES, like_sizes
    from foretell.scoring.rank import rank, ranked_columns

    several = batches * seeds > 1
    columns = ranked_columns(proxies, by, at_equal, several=several, rounds=best is not None)
    require_columns(form, columns)
    inputs = read_inputs(models, given, batches, seeds)
    reduced = inputs.reduced() if reduced_network else None
    with ShownProgress() as progress:
        table = rank(
            {name: partial(inputs.build, name) for name in inputs.models},
            inputs.batches,
            proxies,
            by=by,
            at_equal=at_equal,
            best=best,
            reduced=reduced,
            seeds=inputs.seeds,
            scoring=inputs.suited(scoring),
            progress=progress,
        )
    if table[[name for name in table if name in PROXIES]].isna().to_numpy().all():
        raise ForetellError(
            f"no model could be scored; the reason for the first is: {table['why'].iloc[0]}"
        )
    points = (by.partition(":")[0], "mean_rank") if by else ("anchored", "wins")
    first = ["stratum", "rank", *points, "agreement", "why", *SIZES]
    alike = {} if at_equal else like_sizes(table)
    doubtful = {} if several else unstable(map(str, table))
    about: dict[str, Any] = {"like_sizes": alike, "between_seeds": doubtful}
    about |= {"rounds": table.attrs["rounds"]} if best else {}
    shown = table.head(best) if best and form.kind == "text" else table
    title = f"Ranked on {given.data}" + ", by scores of the reduced networks" * reduced_network
    show(shown, form, title, first, about)
    if best:
        told = in_rounds(table.attrs["rounds"])
        say(f"{click.wrap_text(told, 80)}\n") if form.kind == "text" else note(told)
    if form.kind == "text":
        if alike:
            say(click.wrap_text(beside_sizes(alike), 80))
        if doubtful:
            say(f"\n{click.wrap_text(beside_seeds(doubtful), 80)}")
        say(f"\n{training_of(models, by, table, given)}")


def training_of(
    models: tuple[str, ...], by: str | None, table: "pd.DataFrame", given: Given
) -> str:
    """The command that trains the best models; names must be written to a file first."""
    from foretell.cli.hints import as_typed
    from foretell.proxies import PROXIES
    from foretell.scoring.rank import usual_by

    named = models[0] if len(models) == 1 and models[0].startswith("@") else "@FILE"
    chosen = by or usual_by([name for name in table if name in PROXIES])
    command = as_typed("search", "--space", named, "--data", given.data, "--by", chosen)
    write = "write their names into a FILE, one per line, and " if named == "@FILE" else ""
    return f"To train the best networks, {write}run: {command}"


def in_rounds(rounds: dict[str, Any]) -> str:
    """How many networks were scored in which round, in words."""
    if not rounds["first"]:
        return (
            f"All {rounds['in_full']} networks were scored in full: a first round pays off only "
            "for more than 60 networks, and more than four times as many as --best."
        )
    left, best = rounds["first"] - rounds["in_full"], rounds["best"]
    return (
        f"{rounds['first']:,} networks were scored on a few samples in "
        f"{rounds['first_seconds']:.0f} s, and {rounds['in_full']:,} of them in full in "
        f"{rounds['full_seconds']:.0f} s; all in full would have taken about "
        f"{rounds['all_seconds']:.0f} s. Of the best {best}, {rounds['expected_lost']:.1f} are "
        f"expected to be among the {left:,} that were left out; --csv and --json list these too."
    )


def beside_seeds(rho: dict[str, float]) -> str:
    """A sentence that names the scores whose order depends on the seed.

    >>> beside_seeds({"jacob_cov": 0.78})[:61]
    'Another seed ranks networks differently by jacob_cov (ρ .78):'
    """
    each = ", ".join(f"{name} (ρ {value:.2f})".replace("0.", ".") for name, value in rho.items())
    return (
        f"Another seed ranks networks differently by {each}: ρ is the rank correlation between two "
        "seeds, measured in docs/stability.md. To average over several seeds, add --seeds 5."
    )


def beside_sizes(alike: dict[str, float]) -> str:
    """A sentence on how similar this order is to an order by size."""
    each = ", ".join(f"{rho:.2f} with {name}" for name, rho in alike.items())
    return (
        f"The rank correlation of this order is {each}. To find out whether it ranks better than "
        "these sizes on your data, train some of the networks and run foretell calibrate."
    )
