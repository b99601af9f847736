"""`foretell calibrate`: estimate how useful scores are on a task from a few trainings."""

import click

from foretell.cli.command import Command, option
from foretell.cli.options import MANY, Form, form_options
from foretell.cli.output import say

EXAMPLES = """\
Examples:
foretell rank @candidates.txt --csv > scores.csv
foretell calibrate scores.csv                            # what to train first
foretell calibrate scores.csv --results results.csv      # how well each score ranks, what next
foretell calibrate runs/search                           # from the trainings of a search"""


SHOWN = 10
"""The number of candidates in the table; JSON has all of them."""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("scores", metavar="SCORES")
@option(
    "--results",
    metavar="FILE",
    help="The accuracies of the networks that you have trained: a .csv, .json or .parquet file "
    "with the columns name and value, and if there are several seeds or epochs, seed and epoch.",
)
@option("--lower-is-better", is_flag=True, help="The values are losses or errors.")
@option("--next", "count", type=MANY, default=5, help="The number of candidates to propose.")
@form_options
def calibrate(
    scores: str, results: str | None, lower_is_better: bool, count: int, form: Form
) -> None:
    """Estimate from a few trainings how well scores rank.

    SCORES is a file with the output of `foretell rank --csv` or `--json`, a Parquet file with the
    same table, or the folder of a search or study. Train some of the candidates in your own way,
    and pass their accuracies as --results; without --results, the trainings of the search count.
    The command also proposes what to train next.
    """
    from foretell.calibration.calibrate import calibrate
    from foretell.cli.show import require_columns, show

    found = calibrate(scores, results, lower_is_better=lower_is_better, next=count)
    require_columns(form, list(map(str, found.scores)))
    about = {
        "statement": list(found.statement),
        "next": list(found.next),
        "candidates": found.candidates.reset_index().to_dict(orient="records"),
        "weights": dict(found.weights),
        "trained": found.trained,
    }
    shown = ["rho", "low", "high", "verdict", "p_above_0.3", "p_beats_params"]
    table = found.scores.round(3) if form.kind == "text" else found.scores
    title = f"How well the scores rank; trained networks: {found.trained}"
    show(table, form, title, shown, about)
    if form.kind == "text":
        best = found.candidates.head(max(count, SHOWN)).round(2)
        few = Form(form.kind)
        show(
            best,
            few,
            f"Untrained candidates, the most promising first; n = {len(found.candidates)}",
        )
        for line in found.statement:
            say(click.wrap_text(line, 80))
        if found.next:
            say("\nTrain next:")
            say("\n".join(f"  {name}" for name in found.next))
