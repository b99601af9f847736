"""`foretell retrain`: the network that a search chose, trained in full."""

import argparse
from dataclasses import replace

import pandas as pd
from rich.console import Console

from foretell.cli.common import Commands, add_device, add_form, pick_device, terminal
from foretell.cli.inputs import data_text
from foretell.cli.interrupt import raise_if_interrupted
from foretell.cli.search import add_training, training_of
from foretell.cli.show import show
from foretell.progress import Progress
from foretell.searching.retrain import retrain
from foretell.searching.search import DEMO

__all__ = ["add_retrain"]

EPOCHS = 100


def add_retrain(commands: Commands) -> None:
    """`foretell retrain`."""
    command = commands.add_parser(
        "retrain",
        help="train the network that a search chose in full",
        description="Train the chosen network of a search from untrained weights, and save it as "
        "retrained.pt in its folder. Stopped, it continues when the same command is given again.",
        epilog="example: foretell retrain runs/search --epochs 200",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("run", help="run folder of `foretell search`")
    command.add_argument("--data", help="the search's data, where its name does not say the place")
    command.add_argument("--root", metavar="DIR", help="folder of torchvision's data sets")
    command.add_argument("--download", action="store_true", help="fetch the data if it isn't there")
    command.add_argument("--space", help="FILE.py:NAME, again, if the space was your own")
    add_training(command, replace(DEMO.training, epochs=EPOCHS))
    command.add_argument("--seed", type=int, default=0, help="of weights and order")
    add_device(command)
    add_form(command)
    command.set_defaults(command=run_retrain)


def run_retrain(arguments: argparse.Namespace) -> None:
    """Train, telling each epoch on a terminal, and print what came of it."""
    console = Console(stderr=True, highlight=False)

    def told(event: Progress) -> None:
        raise_if_interrupted()
        if console.is_terminal:
            console.print(event.name, end="\r")

    done = retrain(
        arguments.run,
        training_of(arguments),
        None if arguments.data is None else data_text(arguments),
        space=arguments.space,
        seed=arguments.seed,
        device=str(pick_device(arguments.device)),
        progress=told,
    )
    trained = done.trained
    row = {
        "epochs": trained.epochs,
        "val_accuracy": trained.val_accuracy,
        "test_accuracy": trained.test_accuracy,
        "seconds": trained.seconds,
        "weights": str(done.weights),
    }
    table = pd.DataFrame([row]).set_index("epochs")
    show(table, arguments.form, terminal(), "Retrained")
