"""Local search: move to better neighbours, and restart at a local optimum.

White, Nolen & Savani 2021, arXiv:2005.02960.
"""

import math
import random
from itertools import islice

from foretell.errors import ForetellError
from foretell.searchers.random import RandomSearch
from foretell.searchers.searcher import Question
from foretell.spaces.space import Arch, Space, neighbours

__all__ = ["LocalSearch"]


class LocalSearch:
    """Trains all neighbours of the current network and moves to the best, or restarts.

    The first climb starts from the best of `initial` random networks and of results that were not
    requested; later climbs start from a random network. No two isomorphic architectures are
    trained.

    >>> from foretell.spaces import NASBench201
    >>> search = LocalSearch(NASBench201(), seed=0, initial=1)
    >>> search.tell(search.ask(1)[0], 90.0)
    >>> len(search.ask(100)) <= 24  # six edges with four other operations each, minus isomorphs
    True
    """

    def __init__(self, space: Space, seed: int, *, initial: int = 10) -> None:
        """Raises ForetellError if `initial` is less than 1."""
        if initial < 1:
            raise ForetellError(f"initial is {initial}; expected at least 1")
        self._space = space
        self._seed = seed
        self._initial = initial
        self._random = RandomSearch(space, seed)
        self._value: dict[Arch, float] = {}  # by canonical form
        self._told: list[Arch] = []
        self._at: Arch | None = None  # None: a start is needed

    def ask(self, n: int = 1) -> list[Question]:
        """Request initial networks, or the untrained neighbours of the current one, shuffled."""
        if len(self._value) < self._initial:
            return self._random.ask(min(n, self._initial - len(self._value)))
        if self._at is None:
            return self._random.ask(min(n, 1))
        return [Question(arch, "train") for arch in islice(self._untrained(self._at), n)]

    def tell(self, question: Question, value: float) -> None:
        """Record a training, and move if all neighbours are known; undefined is the worst."""
        if question.kind != "train":
            return
        self._random.tell(question, value)
        canonical = self._space.canonical(question.arch)
        if canonical not in self._value:
            self._told.append(question.arch)
        self._value[canonical] = -math.inf if math.isnan(value) else value
        if len(self._value) < self._initial:
            return
        if self._at is None:
            first = len(self._value) == self._initial
            self._at = max(self._told, key=self._worth) if first else question.arch
        self._climb()

    def _climb(self) -> None:
        """Move to the best neighbour while it is better and all neighbours are known."""
        while self._at is not None and not self._untrained(self._at):
            best = max(neighbours(self._space, self._at), key=self._worth, default=self._at)
            self._at = best if self._worth(best) > self._worth(self._at) else None

    def _untrained(self, arch: Arch) -> list[Arch]:
        """One neighbour of each untrained class, in a random order that depends on `arch`."""
        around = {self._space.canonical(near): near for near in neighbours(self._space, arch)}
        free = [near for canonical, near in around.items() if canonical not in self._value]
        random.Random(f"{self._seed}/{arch}").shuffle(free)
        return free

    def _worth(self, arch: Arch) -> float:
        return self._value[self._space.canonical(arch)]
