"""The default arguments of a search; help texts read them, so this module does without PyTorch."""

from dataclasses import dataclass, field

from foretell.training.settings import TrainSettings

__all__ = ["DEMO", "Defaults"]


@dataclass(frozen=True)
class Defaults:
    """The default arguments of a search, which takes about three minutes on two cores."""

    space: str = "nb201"
    data: str = "digits"
    by: str = "synflow"
    searcher: str = "random"
    pool: int = 60
    trainings: int = 6
    batch_size: int = 64
    training: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=6, lr=0.02))


DEMO = Defaults()
