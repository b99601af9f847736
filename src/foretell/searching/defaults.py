"""The default arguments of a search; help texts read them, so this module does without PyTorch."""

from dataclasses import dataclass, field

from foretell.training.settings import TrainSettings

__all__ = ["DEMO", "Defaults", "usual_pool", "usual_proxy"]


@dataclass(frozen=True)
class Defaults:
    """The default arguments of a search, which take less than a minute on two cores."""

    space: str = "cnn"
    data: str = "digits"
    searcher: str = "random"
    trainings: int = 6
    batch_size: int = 64
    training: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=6, lr=0.02))


DEMO = Defaults()


def usual_proxy(space: str) -> str:
    """The proxy that selects networks of a space if none is given.

    On `cnn`, it is the one of five that agreed best with the accuracies there.
    """
    return "jacob_cov" if space == DEMO.space else "synflow"


def usual_pool(space: str) -> int:
    """The number of networks of a space that are scored if none is given; `cnn` has small ones."""
    return 200 if space == DEMO.space else 60
