"""The inputs of `foretell score`, `rank` and `explain`: models, minibatches and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import click
import torch
from torch import nn

from foretell.batch import Batch
from foretell.cli.ignored import is_given
from foretell.cli.options import Given
from foretell.cli.output import note
from foretell.data import Splits, load_data, minibatch
from foretell.engine.device import pick_device
from foretell.errors import ForetellError
from foretell.executors.own_memory import freeze_objects
from foretell.models import expand_models, fit_batch, load_model, reduced_name, wanted_input
from foretell.models.sources import require_trained
from foretell.models.specs import Like
from foretell.runs.work import suited
from foretell.scoring.factories import Build
from foretell.scoring.settings import ScoreSettings

__all__ = ["Inputs", "read_inputs"]


@dataclass(frozen=True)
class Inputs:
    """The models named on the command line, and the minibatches and seeds to score them with."""

    models: list[str]
    splits: Splits
    drawn: list[Batch]
    seeds: range
    device: torch.device
    pretrained: bool

    def build(self, text: str, seed: int) -> nn.Module:
        """The model on its device, with weights drawn from the seed."""
        model = load_model(text, self.splits, seed, pretrained=self.pretrained)
        return model.to(self.device)

    def reduced(self) -> dict[str, Build]:
        """The reduced form of each model. Raises ForetellError for a model that has none."""
        return {text: partial(self.build, reduced_name(text)) for text in self.models}

    def batches(self, text: str) -> list[Batch]:
        """The same samples for every model, in the size or layout that this model requires."""
        return [
            fit_batch(batch, text, self.splits, seed, pretrained=self.pretrained)
            for seed, batch in enumerate(self.drawn)
        ]

    def suited(self, scoring: ScoreSettings) -> ScoreSettings:
        """The settings, with the loss of the data by default."""
        return suited(scoring, self.splits)


def read_inputs(models: Sequence[str], given: Given, batches: int = 1, seeds: int = 1) -> Inputs:
    """The inputs that the options describe. Raises ForetellError for what does not exist."""
    device = pick_device(given.device)
    texts = expand_models(models)
    for text in texts if given.pretrained else []:
        require_trained(text)
    splits = load_data(given.data)
    if not is_given(click.get_current_context(), "data"):
        require_like_default(texts, splits)
    if splits.note:
        note(splits.note)
    drawn = [
        Batch(*minibatch(splits.train, given.batch_size, seed))
        for seed in range(given.seed, given.seed + batches)
    ]
    freeze_objects()
    drawn_seeds = range(given.seed, given.seed + seeds)
    return Inputs(texts, splits, drawn, drawn_seeds, device, given.pretrained)


ENLARGED = 4
"""The largest ratio of image to sample size that is accepted for the default data."""


def require_like_default(texts: Sequence[str], splits: Splits) -> None:
    """Raise ForetellError for a model that expects much larger images than the default data has.

    Its scores on enlarged digits would say little about the images that it is meant for.
    """
    height, width = splits.sample_shape[-2:]
    for text in texts:
        wanted = wanted_input(text, Like.of(splits)).shape
        if wanted is not None and max(wanted[1:]) > ENLARGED * max(height, width):
            raise ForetellError(
                f"{text} expects images of {wanted[1]} x {wanted[2]} pixels, and those of the "
                f"default data, {splits.name}, have {height} x {width}; name your own images with "
                f"--data folder:DIR, or write --data {splits.name} to enlarge the default ones"
            )
