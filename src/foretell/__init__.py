"""foretell tells, before any training, which neural networks are worth training."""

from foretell.batch import Batch
from foretell.errors import ForetellError
from foretell.plan import Plan, explain
from foretell.score import Score, score

__all__ = ["Batch", "ForetellError", "Plan", "Score", "explain", "score"]

__version__ = "0.1.0"
