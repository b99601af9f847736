"""Estimate, before any training, which neural networks are worth training."""

from foretell.batch import Batch
from foretell.data import first_batch, load_data, minibatch
from foretell.errors import ForetellError
from foretell.scoring.explain import Explanation, explain
from foretell.scoring.many import score_many, summary
from foretell.scoring.rank import rank
from foretell.scoring.score import Score, score
from foretell.scoring.vote import prefers, vote
from foretell.searching.chosen import load_chosen
from foretell.searching.outcome import Outcome
from foretell.searching.search import search
from foretell.version import __version__

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
    "score",
    "score_many",
    "search",
    "summary",
    "vote",
]
