"""The words that options accept are those of the library, which the help must not import."""

from typing import get_args

import click
import pytest

from foretell.cli.app import COMMANDS
from foretell.cli.values import OneOf
from foretell.engine.isolate import BatchNorm
from foretell.engine.weights import Layers
from foretell.scoring.settings import Precision
from foretell.searching.stages import STAGES
from foretell.training.settings import Augmentation, Optimizer
from foretell.training.settings import Precision as TrainPrecision

WORDS = {
    "layers": get_args(Layers),
    "batch_norm": get_args(BatchNorm),
    "score_precision": get_args(Precision),
    "first_stage": STAGES,
    "optimizer": get_args(Optimizer),
    "augmentation": get_args(Augmentation),
    "precision": get_args(TrainPrecision),
}

CHOICES = {
    f"{name} {one.opts[0]}": one
    for name, command in COMMANDS.items()
    for one in command.params
    if isinstance(one, click.Option) and isinstance(one.type, OneOf)
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_words_of_an_option_are_those_of_the_library(case: str) -> None:
    option = CHOICES[case]
    assert isinstance(option.type, OneOf)
    assert tuple(option.type.choices) == WORDS[str(option.name)]
