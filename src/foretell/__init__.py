"""foretell tells, before any training, which neural networks are worth training."""

from foretell.batch import Batch
from foretell.data import first_batch, load_data, minibatch
from foretell.errors import ForetellError
from foretell.explain import Explanation, explain
from foretell.rank import rank
from foretell.repeat import rank_many, score_many, summary
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
    "first_batch",
    "load_chosen",
    "load_data",
    "minibatch",
    "prefers",
    "rank",
    "rank_many",
    "score",
    "score_many",
    "search",
    "summary",
    "vote",
]
