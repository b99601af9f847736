"""What several commands have in common: options, the terminal, the device."""

import argparse
from typing import TypeAlias

import pandas as pd
import torch
from rich.console import Console

from foretell.errors import ForetellError
from foretell.scoring.settings import ScoreSettings

__all__ = [
    "Commands",
    "add_common",
    "add_device",
    "add_form",
    "add_tf32",
    "drop_empty",
    "names",
    "pick_device",
    "scoring_of",
    "terminal",
]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_common(command: argparse.ArgumentParser, batch_size: int) -> None:
    """What all commands that compute have in common."""
    command.add_argument("--batch-size", type=int, default=batch_size, help="of the minibatch")
    command.add_argument("--seed", type=int, default=0, help="of weights, minibatch and choices")
    add_device(command)
    add_form(command)


def add_device(command: argparse.ArgumentParser) -> None:
    """`--device`."""
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")


def add_tf32(command: argparse.ArgumentParser) -> None:
    """`--tf32`."""
    command.add_argument(
        "--tf32", action="store_true", help="a GPU may score with the 10 bits of TF32"
    )


def scoring_of(arguments: argparse.Namespace) -> ScoreSettings:
    """How networks are scored, as the options say."""
    return ScoreSettings(precision="tf32" if arguments.tf32 else "full")


def add_form(command: argparse.ArgumentParser) -> None:
    """`--json` and `--csv`."""
    form = command.add_mutually_exclusive_group()
    for name in ("json", "csv"):
        form.add_argument(
            f"--{name}",
            dest="form",
            action="store_const",
            const=name,
            default="text",
            help=f"print {name.upper()}",
        )


def terminal() -> Console:
    """Standard output; where it is no terminal, wide enough not to fold a table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=220)


def names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def drop_empty(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the text columns that say nothing."""
    text = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    empty = [name for name in text if not any(table[name])]
    return table.drop(columns=empty)


def pick_device(text: str) -> torch.device:
    """The device of that name; `auto` is the GPU where there is one.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ForetellError(f"there is no device {text!r} here ({reason}); use cpu") from error
    return device
