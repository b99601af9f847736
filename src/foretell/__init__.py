"""foretell tells, before any training, which neural networks are worth training."""

from foretell.batch import Batch
from foretell.data import load_data, minibatch
from foretell.errors import ForetellError
from foretell.explain import Explanation, explain
from foretell.rank import rank
from foretell.score import Score, score
from foretell.search import Outcome, load_chosen, search
from foretell.version import __version__
from foretell.vote import prefers, vote

__all__ = [
    "Batch",
    "Explanation",
    "ForetellError",
    "Outcome",
    "Score",
    "__version__",
    "explain",
    "load_chosen",
    "load_data",
    "minibatch",
    "prefers",
    "rank",
    "score",
    "search",
    "vote",
]
