"""`foretell rank`: rank untrained networks by their scores."""

from functools import partial
from typing import TYPE_CHECKING

import click

from foretell.cli.command import Command, option
from foretell.cli.options import (
    Form,
    Given,
    form_options,
    input_options,
    proxies_option,
    repeat_options,
    scoring_options,
)
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.scoring.settings import ScoreSettings

EXAMPLES = """\
Examples:
foretell rank nb201:333013 nb201:111111 nb201:440001 --by synflow
foretell rank 'torchvision:resnet*' nets.py:small --data folder:photos
foretell rank @candidates.txt --proxies synflow,jacob_cov,snip --csv"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@option(
    "--by",
    metavar="NAME",
    show_default="vote if its three voters are among the proxies, otherwise the first proxy",
    help="The proxy to rank by, or a ranking from `foretell list rankings`, such as vote or "
    "log_rank:snip,flops. With a ranking, one more model can change the order of the others.",
)
@input_options
@repeat_options
@proxies_option("the paper's six, params and flops, and what --by needs")
@scoring_options()
@form_options
def rank(
    models: tuple[str, ...],
    by: str | None,
    given: Given,
    batches: int,
    seeds: int,
    proxies: tuple[str, ...] | None,
    scoring: "ScoreSettings",
    form: Form,
) -> None:
    """Rank untrained networks, the most promising first.

    Each MODEL is a name as in `foretell list models`, a pattern such as 'torchvision:resnet*', or
    @FILE for a file with one name per line. All are scored on the same samples.
    """
    from foretell.cli.inputs import read_inputs
    from foretell.cli.progress import ShownProgress
    from foretell.cli.show import show
    from foretell.proxies import PROXIES
    from foretell.scoring.rank import rank

    inputs = read_inputs(models, given, batches, seeds)
    with ShownProgress() as progress:
        table = rank(
            {name: partial(inputs.build, name) for name in inputs.models},
            inputs.batches,
            proxies,
            by=by,
            seeds=inputs.seeds,
            scoring=inputs.suited(scoring),
            progress=progress,
        )
    if table[[name for name in table if name in PROXIES]].isna().to_numpy().all():
        raise ForetellError(
            f"no model could be scored; the reason for the first is: {table['why'].iloc[0]}"
        )
    show(
        table,
        form,
        f"Ranked on {given.data}",
        ["rank", (by or "wins").partition(":")[0], "why", "params", "flops"],
    )
