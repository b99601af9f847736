"""The default arguments of a search, without importing PyTorch, since help texts read them."""

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
    """The default proxy for selecting networks of a space.

    For `cnn`, it is the one of five proxies that correlated best with its accuracies.
    """
    return "jacob_cov" if space == DEMO.space else "synflow"


def usual_pool(space: str) -> int:
    """The default number of networks to score; it is larger for `cnn`, whose networks are small."""
    return 200 if space == DEMO.space else 60
