"""The description of the computations of a run, except the architectures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from foretell.batch import Batch
from foretell.data import Splits, minibatch
from foretell.engine.plan import Plan, make_plan
from foretell.errors import ForetellError, unknown_name
from foretell.executors.processes import require_picklable
from foretell.losses import loss_name
from foretell.proxies import PROXIES
from foretell.rankings.sizes import SIZES
from foretell.runs.code import Code
from foretell.runs.tasks import Data, ScoreTask, TrainTask, loaded
from foretell.scoring.settings import ScoreSettings
from foretell.spaces import Arch, Space, reduced_form
from foretell.training.reduced import REDUCED, reduced_space, reduced_splits
from foretell.training.settings import TrainSettings

__all__ = ["Work", "suited"]


UNREAD = Code({})


@dataclass(frozen=True, eq=False)
class Work:
    """Everything that determines the results of a run, except the architecture."""

    space: Space
    data: Data
    plan: Plan
    by: str
    batch_size: int
    training: TrainSettings
    seed: int
    device: str
    scoring: ScoreSettings = field(default_factory=ScoreSettings)
    reduced_network: bool = False
    """Whether scores other than sizes are those of the reduced form of the space."""
    code: Code = UNREAD
    """The user code that the results depend on, as it is when the work is first described."""

    def __post_init__(self) -> None:
        if self.code is UNREAD:
            object.__setattr__(self, "code", Code.of(self.space, self.plan, self.scoring.loss))

    @cached_property
    def device_key(self) -> dict[str, str]:
        """The device in the row key of a training: a GPU, whose last digits differ; else empty."""
        kind = torch.device(self.device).type
        return {} if kind == "cpu" else {"device": kind}

    @cached_property
    def score_key(self) -> dict[str, Any]:
        """The settings of scoring in the row key of a score."""
        return self.scoring.key(self.device)

    @property
    def unusual_scoring(self) -> dict[str, Any]:
        """The part of `score_key` that differs from the default, for the run's configuration."""
        usual = ScoreSettings().key("cpu")
        key = {name: value for name, value in self.score_key.items() if usual.get(name) != value}
        return key | ({"reduced_network": True} if self.reduced_network else {})

    @cached_property
    def reduced_form(self) -> Space | None:
        """The space whose networks are scored, except for their sizes; None for the space itself.

        Raises ForetellError if the space has no reduced form.
        """
        return reduced_form(self.space) if self.reduced_network else None

    def scored_space(self, proxy: str) -> Space:
        """The space whose networks are scored by this proxy."""
        return self.space if self.reduced_form is None or proxy in SIZES else self.reduced_form

    def require_picklable(self) -> None:
        """Raise ForetellError unless the user's own objects can be sent to other processes."""
        require_picklable(f"the loss {loss_name(self.scoring.loss)}", self.scoring.loss)
        require_picklable(f"the space {self.space.name}", self.space)
        require_picklable("the training", self.training)

    @property
    def batch(self) -> Batch:
        """The minibatch that all networks are scored on."""
        return Batch(*minibatch(loaded(self.data).train, self.batch_size, self.seed))

    def scoring_by(self, *names: str) -> "Work":
        """The same work with only the proxies `names`."""
        plan = make_plan({name: self.plan.settings.get(name, {}) for name in names})
        return replace(self, plan=plan)

    def scoring_of(
        self, arch: Arch, proxies: Mapping[str, Mapping[str, Any]] | None = None
    ) -> ScoreTask:
        """The task that scores an architecture, by default by all proxies of the plan."""
        settings = self.every_proxy if proxies is None else proxies
        asked = {PROXIES[name].address: own for name, own in settings.items()}
        how = (asked, self.seed, self.device, self.scoring, self.reduced_form)
        return ScoreTask(self.space, arch, self.data, self.batch_size, *how)

    def training_of(self, arch: Arch, checkpoint: Path | None = None) -> TrainTask:
        """The task that trains an architecture."""
        how = (self.training, self.seed, self.device, checkpoint)
        return TrainTask(self.space, arch, self.data, *how)

    @property
    def every_proxy(self) -> dict[str, Mapping[str, Any]]:
        """The settings of each proxy of the plan, by the name of the proxy."""
        return {one.name: self.plan.settings.get(one.name, {}) for one in self.plan.proxies}

    def reduced(self, name: str) -> "Work":
        """The same work with a reduced training of `REDUCED`.

        Raises ForetellError for an unknown name, or for a space that cannot be reduced.
        """
        if name not in REDUCED:
            raise unknown_name("reduced training", name, REDUCED)
        by = REDUCED[name]
        space, data = reduced_space(self.space, by), reduced_splits(loaded(self.data), by)
        return replace(self, space=space, data=data, training=by.training, code=UNREAD)


OF_NUMBERS = ("mse", "l1", "bce_with_logits")
"""The losses whose targets are numbers, with one per output."""


def suited(scoring: ScoreSettings, splits: Splits) -> ScoreSettings:
    """The settings, with the loss of the data if the loss is the default.

    Raises ForetellError if the loss requires numbers and the data has class labels.

    >>> from foretell.data import load_data
    >>> suited(ScoreSettings(), load_data("digits")).loss
    'cross_entropy'
    """
    if scoring.loss in OF_NUMBERS and not splits.train[1].is_floating_point():
        raise ForetellError(
            f"the loss {scoring.loss} compares outputs with numbers, but the data {splits.name} "
            f"has class labels; leave out the loss to use {splits.loss}"
        )
    return scoring if scoring.loss != ScoreSettings().loss else replace(scoring, loss=splits.loss)
