"""`foretell explain`: show the steps that scoring would run, and their cost."""

from typing import TYPE_CHECKING

import click

from foretell.cli.command import Command
from foretell.cli.options import (
    Form,
    Given,
    form_options,
    input_options,
    proxies_option,
    scoring_options,
)
from foretell.cli.output import say

if TYPE_CHECKING:
    from foretell.scoring.explain import Explanation
    from foretell.scoring.settings import ScoreSettings

EXAMPLES = """\
Examples:
foretell explain --proxies synflow,grasp
foretell explain torchvision:swin_t --data random:3x224x224 --batch-size 16"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("model", required=False)
@input_options
@proxies_option("the six of arXiv:2101.08134, params and flops")
@scoring_options()
@form_options
def explain(
    model: str | None,
    given: Given,
    proxies: tuple[str, ...] | None,
    scoring: "ScoreSettings",
    form: Form,
) -> None:
    """Show which steps scoring would run, and their cost.

    The costs are in forward-equivalents: 1 is the arithmetic of one forward pass of the minibatch.
    With a MODEL, its FLOPs and the expected memory are shown as well.
    """
    from foretell.cli.inputs import read_inputs
    from foretell.cli.show import require_columns, show
    from foretell.engine.plan import DEFAULT
    from foretell.scoring.explain import explain

    asked = DEFAULT if proxies is None else proxies
    found = explain(asked, batch_size=given.batch_size)
    require_columns(form, [*map(str, found.table()), *(["flops"] if model else [])])
    if model is not None:
        inputs = read_inputs([model], given)
        name = inputs.models[0]
        built, batch = inputs.build(name, given.seed), inputs.batches(name)[0]
        found = explain(asked, built, batch, scoring=inputs.suited(scoring))
    about = {"forward_equivalents": found.cost, "memory": found.memory}
    show(found.table(), form, model or "Steps", about=about)
    if form.kind == "text":
        say(in_words(found))


def in_words(found: "Explanation") -> str:
    """The totals, one per line."""
    lines = [f"Total cost: {found.cost:.2f} forward passes of {found.batch_size} samples."]
    if found.memory is not None:
        lines.append(f"Expected peak memory: about {found.memory / 2**20:,.0f} MiB.")
    if found.curvature:
        lines.append(f"Method of the curvature: {found.curvature}.")
    return "\n".join(lines)
