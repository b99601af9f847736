"""Warmup: train the networks with the best scores first, then search as usual.

Abdelfattah et al. 2021, arXiv:2101.08134. The paper scores N random networks; random search then
trains all of them in decreasing order of their scores (`first` = `pool` = N), aging evolution
starts from the best 64 (`first` = 64, `pool` = N).
"""

import math
from itertools import islice

from foretell.errors import ForetellError
from foretell.searchers.searcher import Question, Searcher, distinct
from foretell.spaces.space import Arch, Space


class Warmup:
    """Scores `pool` random networks, trains the best `first`, then follows `searcher`.

    The searcher receives every answer, so it continues from the trainings of the warmup.

    >>> from foretell.searchers import RandomSearch
    >>> from foretell.spaces import NASBench201
    >>> space = NASBench201()
    >>> search = Warmup(RandomSearch(space, seed=0), space, pool=3, first=2, seed=0)
    >>> a, b, c = search.ask(10)
    >>> for question, score in [(a, 0.5), (b, 0.9), (c, 0.7)]:
    ...     search.tell(question, score)
    >>> search.ask(10) == [Question(b.arch, "train"), Question(c.arch, "train")]
    True
    """

    def __init__(self, searcher: Searcher, space: Space, pool: int, first: int, seed: int) -> None:
        """Raises ForetellError unless 1 <= first <= pool."""
        if not 1 <= first <= pool:
            raise ForetellError(
                f"first is {first} and pool is {pool}; expected a pool of at least 1 and a first "
                "of at least 1 and at most the pool"
            )
        self._searcher = searcher
        self._space = space
        self._first = first
        self._pool = {canonical: arch for arch, canonical in islice(distinct(space, seed), pool)}
        self._scores: dict[Arch, float] = {}
        self._best: list[Arch] = []  # known once the whole pool is scored
        self._trained: set[Arch] = set()

    def ask(self, n: int = 1) -> list[Question]:
        """Request scores of the pool, then trainings of the best, then follow the searcher."""
        unscored = (c for c in self._pool if c not in self._scores)
        if scores := [Question(self._pool[c], "score") for c in islice(unscored, n)]:
            return scores
        untrained = (c for c in self._best if c not in self._trained)
        trainings = [Question(self._pool[c], "train") for c in islice(untrained, n)]
        return trainings or self._searcher.ask(n)

    def tell(self, question: Question, value: float) -> None:
        """Record an answer and pass it on; for isomorphic networks, only the first score counts."""
        canonical = self._space.canonical(question.arch)
        if question.kind == "train":
            self._trained.add(canonical)
        elif canonical in self._pool and canonical not in self._scores:
            self._scores[canonical] = value
            if len(self._scores) == len(self._pool):
                self._best = sorted(self._pool, key=self._rank)[: self._first]
        self._searcher.tell(question, value)

    def _rank(self, canonical: Arch) -> tuple[bool, float]:
        """A sort key: highest score first, nan last, equal scores in the order of drawing."""
        score = self._scores[canonical]
        return (True, 0.0) if math.isnan(score) else (False, -score)
