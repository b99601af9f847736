"""`foretell tell`: add the results of trainings that were done elsewhere to a search."""

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
    help="The results: a .csv, .json or .parquet file with the columns name (an "
    "architecture) and value, and seed and epoch if there are several. The unit and the direction "
    "are those of the search.",
)
@option("--space", metavar="FILE.py:NAME", help="The space of the search, if it is your own.")
def tell(run: str, results: str, space: str | None) -> None:
    """Add the results of trainings that were done elsewhere to a search.

    RUN is the folder of a `foretell search`. Run the search again, with the same options or with
    more --trainings, and it learns from these results and trains other networks.
    """
    from foretell.calibration.tell import tell

    told = tell(run, results, space=space)
    said = [f"Networks in {run} whose results are new: {len(told.names)}."]
    if told.known:
        said.append(f"Results that it knew already: {told.known}.")
    if told.left_out:
        said.append(f"Left out, without a value or of an earlier epoch: {told.left_out}.")
    if told.names:
        said.append("The search goes on from there; if it has ended, give it more --trainings.")
    say(click.wrap_text(" ".join(said), 80))
