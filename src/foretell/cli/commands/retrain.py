"""`foretell retrain`: train the network that a search chose, with more epochs."""

from dataclasses import replace

import click

from foretell.cli.command import Command, option
from foretell.cli.options import (
    Form,
    data_options,
    device_option,
    form_options,
    seed_option,
    training_options,
)
from foretell.searching.defaults import DEMO
from foretell.training.settings import TrainSettings

EPOCHS = 100

EXAMPLES = """\
Examples:
foretell retrain runs/search
foretell retrain runs/search --epochs 200 --patience 20"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("run")
@data_options(None, "The data set of the search, if it has been moved since.")
@option(
    "--space",
    metavar="FILE.py:NAME",
    help="The space of the search, if it is your own, or @FILE for a list with models of your own.",
)
@seed_option("The seed of the weights and of the order of the samples.")
@device_option
@training_options(replace(DEMO.training, epochs=EPOCHS))
@form_options
def retrain(
    run: str,
    data: str | None,
    space: str | None,
    seed: int,
    device: str,
    training: TrainSettings,
    form: Form,
) -> None:
    """Train the network that a search chose, with more epochs.

    RUN is the folder of a finished `foretell search`. The network is trained from scratch and saved
    there as retrained.pt. If the command is stopped, run it again to resume.
    """
    import pandas as pd

    from foretell.cli.progress import ShownProgress
    from foretell.cli.show import require_columns, show
    from foretell.engine.device import pick_device
    from foretell.searching.retrain import retrain

    require_columns(form, ["val_accuracy", "test_accuracy", "seconds", "weights"])
    with ShownProgress({"retrain": training.epochs}) as progress:
        done = retrain(
            run,
            training,
            data,
            space=space,
            seed=seed,
            device=str(pick_device(device)),
            progress=progress,
        )
    trained = done.trained
    row = {
        "epochs": trained.epochs,
        "val_accuracy": trained.val_accuracy,
        "test_accuracy": trained.test_accuracy,
        "seconds": trained.seconds,
        "weights": str(done.weights),
    }
    show(pd.DataFrame([row]).set_index("epochs"), form, "Retrained")
