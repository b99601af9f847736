"""`foretell score`: score one untrained network with any number of proxies."""

from functools import partial
from typing import TYPE_CHECKING

import click

from foretell.cli.command import Command
from foretell.cli.options import Form, Given, reduced_network_option, subject_options
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from foretell.scoring.settings import ScoreSettings

EXAMPLES = """\
Examples:
foretell score nb201:333013
foretell score timm:resnet18 --data folder:photos --proxies synflow,snip --json
foretell score 'nets.py:small?width=32' --batches 3 --seeds 3"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("model")
@subject_options("the six of arXiv:2101.08134, params and flops")
@reduced_network_option
def score(
    model: str,
    given: Given,
    batches: int,
    seeds: int,
    proxies: tuple[str, ...] | None,
    scoring: "ScoreSettings",
    reduced_network: bool,
    form: Form,
) -> None:
    """Score one untrained network.

    MODEL is the name of a network, such as nb201:333013, timm:resnet18, or nets.py:small for a
    function in your own file that returns a network; `foretell list models` shows all forms. All
    proxies are computed together in as few passes as possible.
    """
    from foretell.cli.inputs import read_inputs
    from foretell.cli.show import require_columns, show
    from foretell.engine.plan import DEFAULT
    from foretell.proxies import PROXIES
    from foretell.scoring.forms import in_forms
    from foretell.scoring.many import summary

    values = ["value"] if batches * seeds == 1 else ["mean", "std", "runs", "undefined"]
    require_columns(form, [*values, "better", "bound", "seconds", "why"])
    inputs = read_inputs([model], given, batches, seeds)
    name, *others = inputs.models
    if others:
        raise ForetellError(f"{model} names {1 + len(others)} models; use `foretell rank` for them")
    runs = in_forms(
        partial(inputs.build, name),
        inputs.reduced()[name] if reduced_network else None,
        inputs.batches(name),
        DEFAULT if proxies is None else proxies,
        inputs.seeds,
        inputs.suited(scoring),
    )
    found = summary(runs)
    place = list(found.columns).index("seconds")
    better = ["higher" if PROXIES[name].higher_is_better else "lower" for name in found.index]
    found.insert(place, "better", better)
    found.insert(place + 1, "bound", [PROXIES[name].bound for name in found.index])
    if runs["run"].max() == 0:
        found = found.rename(columns={"mean": "value"}).drop(columns=["std", "runs", "undefined"])
    title = f"{name}, with sizes of the network and scores of its reduced form"
    show(
        found,
        form,
        title if reduced_network else name,
        ["value", "mean", "std", "why", "better"],
        {"model": name},
    )
