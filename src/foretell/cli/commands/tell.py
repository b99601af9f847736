"""`foretell tell`: add results of trainings that were run elsewhere to a search."""

import click

from foretell.cli.command import Command, option
from foretell.cli.output import say

EXAMPLES = """\
Examples:
foretell tell runs/search --results results.csv
foretell tell runs/mine --results more.json --space nets.py:mlp"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("run")
@option(
    "--results",
    metavar="FILE",
    required=True,
    help="The results: a .csv, .json or .parquet file with the columns name (an architecture) and "
    "value, and if there are several seeds or epochs, seed and epoch. The unit and the direction "
    "are those of the search.",
)
@option("--space", metavar="FILE.py:NAME", help="The space of the search, if it is your own.")
def tell(run: str, results: str, space: str | None) -> None:
    """Add results of trainings run elsewhere to a search.

    RUN is the folder of a `foretell search`. If you run the search again, with the same options or
    with more --trainings, it learns from these results and does not train these networks again.
    """
    from foretell.calibration.tell import tell

    told = tell(run, results, space=space)
    said = [f"Networks whose results were added to {run}: {len(told.names)}."]
    if told.known:
        said.append(f"Results that were known already: {told.known}.")
    if told.left_out:
        said.append(
            f"Left out because they have no value or are of an earlier epoch: {told.left_out}."
        )
    if told.names:
        said.append("Run the search again to use them; if it has ended, with more --trainings.")
    say(click.wrap_text(" ".join(said), 80))
