"""What `foretell score` and `foretell rank` are given: models, data, and how often to score."""

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from foretell.batch import Batch
from foretell.data import Splits, load_data, minibatch, with_settings
from foretell.errors import ForetellError
from foretell.models import expand_models, fit_batch, load_model

__all__ = ["Inputs", "add_data", "add_repeats", "data_text", "read_inputs"]


def add_data(command: argparse.ArgumentParser, default: str) -> None:
    """`--data`, and from where."""
    command.add_argument("--data", default=default, help="data set; see `foretell list data`")
    command.add_argument("--root", metavar="DIR", help="folder of torchvision's data sets")
    command.add_argument("--download", action="store_true", help="fetch the data if it isn't there")


def add_repeats(command: argparse.ArgumentParser) -> None:
    """`--batches`, `--seeds` and `--pretrained`."""
    command.add_argument("--batches", type=int, default=1, help="minibatches to score on")
    command.add_argument("--seeds", type=int, default=1, help="times to draw the weights")
    command.add_argument("--pretrained", action="store_true", help="download trained weights")


def data_text(arguments: argparse.Namespace) -> str:
    """The data set with what the other options say about it."""
    wanted: dict[str, Any] = {}
    if arguments.root is not None:
        wanted["root"] = arguments.root
    if arguments.download:
        wanted["download"] = True
    return with_settings(arguments.data, **wanted)


@dataclass(frozen=True)
class Inputs:
    """The models of a command line, and for each the batches of the data as it wants them."""

    models: list[str]
    splits: Splits
    drawn: list[Batch]
    seeds: range
    device: torch.device
    pretrained: bool

    def build(self, text: str, seed: int) -> nn.Module:
        """The model on its device, its weights drawn by the seed."""
        model = load_model(text, self.splits, seed, pretrained=self.pretrained)
        return model.to(self.device)

    def batches(self, text: str) -> list[Batch]:
        """The same samples for every model, in the size or layout that this one wants."""
        return [
            fit_batch(batch, text, self.splits, seed, pretrained=self.pretrained)
            for seed, batch in enumerate(self.drawn)
        ]

    def loss(self, name: str) -> str:
        """The loss of that name; cross-entropy is that of every token or frame with a label."""
        return self.splits.loss if name == "cross_entropy" else name


def read_inputs(arguments: argparse.Namespace, models: list[str], device: torch.device) -> Inputs:
    """What the arguments name. Raises ForetellError for what is not there."""
    for name in ("batches", "seeds"):
        if getattr(arguments, name) < 1:
            raise ForetellError(f"--{name} is {getattr(arguments, name)}; give at least 1")
    texts = expand_models(models)
    splits = load_data(data_text(arguments))
    if splits.note:
        print(f"foretell: {splits.note}", file=sys.stderr)
    first, size = arguments.seed, arguments.batch_size
    drawn = [
        Batch(*minibatch(splits.train, size, seed))
        for seed in range(first, first + arguments.batches)
    ]
    seeds = range(first, first + arguments.seeds)
    return Inputs(texts, splits, drawn, seeds, device, arguments.pretrained)
