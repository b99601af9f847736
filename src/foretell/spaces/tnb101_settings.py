"""The settings that both spaces of TransNAS-Bench-101 share."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from torch import nn

from foretell.errors import ForetellError, unknown_name
from foretell.spaces.settings import require_integers
from foretell.spaces.space import Json
from foretell.spaces.tnb101_network import Block, halvings, network
from foretell.spaces.tnb101_tasks import DENSE, TASKS

__all__ = ["TransNASSettings"]


@dataclass(frozen=True)
class TransNASSettings:
    """The sizes of a network, and its task.

    `channels` is the width after the stem. `task` is one of the benchmark's seven, which determines
    the head of the network; `tnb101_tasks` says which targets and which loss each has. `classes` is
    the number of outputs of the first five tasks; the output images of `normal` and `autoencoder`
    have `in_channels` channels. `features` is the width of the first layer of the heads of
    `segmentsemantic`, `normal` and `autoencoder`. Networks for these three require a `resolution`
    that they can halve without a remainder; the others accept images of any size.
    """

    channels: int = 64
    blocks: int = 2
    classes: int = 75
    in_channels: int = 3
    resolution: int = 256
    task: str = "class_object"
    features: int = 1024

    name: ClassVar[str]

    def __post_init__(self) -> None:
        require_integers(self.name, {k: v for k, v in asdict(self).items() if k != "task"})
        if self.task not in TASKS:
            said = f"{self.name}: no task is called {self.task!r}"
            raise unknown_name("task", str(self.task), TASKS, said)

    def settings(self) -> dict[str, Json]:
        """The value of every field, by name."""
        return asdict(self)

    def network(self, modules: Sequence[int], block: Block, seed: int) -> nn.Module:
        """The network of these modules and blocks.

        Raises ForetellError if the task predicts pixels and the resolution cannot be restored.
        """
        factor = 2 ** halvings(modules)
        if self.task in DENSE and self.resolution % factor:
            raise ForetellError(
                f"{self.name}: the resolution is {self.resolution}; for {self.task}, give a "
                f"multiple of {factor}"
            )
        sizes = {k: v for k, v in asdict(self).items() if k != "resolution"}
        return network(modules, block, seed, **sizes)
