"""Aging evolution: the oldest dies, whatever it was worth. A proxy may propose the moves.

Real et al. 2019, arXiv:1802.01548 (regularized evolution); population 64 and tournament 10 as in
Abdelfattah et al. 2021, arXiv:2101.08134, whose move proposal this file has too: score all
architectures one edit away from the parent and take the best; with probability 0.25 take one of
them at random instead.
"""

import math
import random
from collections import deque
from collections.abc import Iterator
from itertools import islice

from foretell.errors import ForetellError
from foretell.searchers.random import RandomSearch
from foretell.searchers.searcher import Question
from foretell.spaces.space import Arch, Space, neighbours

__all__ = ["AgingEvolution"]

TRIES = 50
"""Random steps on from a child whose class is trained already, before a random network is drawn."""


class AgingEvolution:
    """Mutates the best of a random few of the last `population` networks trained.

    The first `population` are random; what is told unasked is of the population too. No two
    isomorphic architectures are trained: a child whose class is known is mutated on. With `moves`
    the scores of all of a parent's neighbours are asked for and the best of them is trained, but
    with probability `mix` one of them at random.

    >>> from foretell.spaces import NASBench201
    >>> search = AgingEvolution(NASBench201(), seed=0, population=2, tournament=2)
    >>> for question, accuracy in zip(search.ask(2), [90.0, 80.0], strict=True):
    ...     search.tell(question, accuracy)
    >>> [question.kind for question in search.ask(1)]  # a child of the first
    ['train']
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        population: int = 64,
        tournament: int = 10,
        moves: bool = False,
        mix: float = 0.25,
    ) -> None:
        """Raises ForetellError for numbers that make no evolution."""
        if not 1 <= tournament <= population:
            raise ForetellError(
                f"a tournament of {tournament} in a population of {population}: "
                "give a tournament of 1 up to the population"
            )
        if not 0 <= mix <= 1:
            raise ForetellError(f"mix is {mix}; give a probability from 0 to 1")
        self._space = space
        self._seed = seed
        self._tournament = tournament
        self._moves = bool(moves)
        self._mix = mix
        self._size = population
        self._random = RandomSearch(space, seed)
        self._alive: deque[tuple[Arch, float]] = deque(maxlen=population)
        self._trained: set[Arch] = set()  # canonical forms
        self._scores: dict[Arch, float] = {}  # by canonical form
        self._near: dict[Arch, list[Arch]] = {}

    def ask(self, n: int = 1) -> list[Question]:
        """Random networks for the first population, then children, or scores of possible ones."""
        missing = self._size - len(self._trained)
        if missing > 0:
            return self._random.ask(min(n, missing))
        return list(islice(self._wanted(n), n))

    def tell(self, question: Question, value: float) -> None:
        """A training joins the population, and the oldest leaves it; undefined is worst."""
        canonical = self._space.canonical(question.arch)
        value = -math.inf if math.isnan(value) else value
        if question.kind == "score":
            self._scores.setdefault(canonical, value)
            return
        self._random.tell(question, value)
        self._trained.add(canonical)
        self._alive.append((question.arch, value))

    def _wanted(self, n: int) -> Iterator[Question]:
        """The questions of one child after another, each asked once."""
        asked: set[Arch] = set()
        for number in range(n):
            rng = random.Random(f"{self._seed}/{len(self._trained)}/{number}")
            parent = self._parent(rng)
            if self._moves and rng.random() >= self._mix:
                unscored = self._unscored(parent)
                if unscored:  # one parent's at a time: the next may have moved by then
                    yield from unscored
                    return
                child = self._best(parent, asked)
            else:
                child = self._mutant(parent, asked, rng)
            child = child or self._stranger(asked)
            if child is None:
                return
            asked.add(self._space.canonical(child))
            yield Question(child, "train")

    def _parent(self, rng: random.Random) -> Arch:
        rivals = rng.sample(list(self._alive), min(self._tournament, len(self._alive)))
        return max(rivals, key=lambda one: one[1])[0]

    def _unscored(self, parent: Arch) -> list[Question]:
        """Scores that a move from the parent needs; none of what would not be trained."""
        needed = {self._space.canonical(arch): arch for arch in reversed(self._around(parent))}
        return [
            Question(arch, "score")
            for canonical, arch in reversed(needed.items())
            if canonical not in self._scores and canonical not in self._trained
        ]

    def _best(self, parent: Arch, asked: set[Arch]) -> Arch | None:
        free = [arch for arch in self._around(parent) if self._is_new(arch, asked)]
        return max(free, key=lambda a: self._scores[self._space.canonical(a)], default=None)

    def _mutant(self, parent: Arch, asked: set[Arch], rng: random.Random) -> Arch | None:
        """A neighbour, or where that is known a neighbour of it, and so on."""
        arch = parent
        for _ in range(TRIES):
            around = self._around(arch)
            if not around:
                return None
            arch = rng.choice(around)
            if self._is_new(arch, asked):
                return arch
        return None

    def _stranger(self, asked: set[Arch]) -> Arch | None:
        """The first random network that is neither trained nor asked for."""
        drawn = (question.arch for question in self._random.ask(len(asked) + 1))
        return next((arch for arch in drawn if self._is_new(arch, asked)), None)

    def _is_new(self, arch: Arch, asked: set[Arch]) -> bool:
        canonical = self._space.canonical(arch)
        return canonical not in self._trained and canonical not in asked

    def _around(self, arch: Arch) -> list[Arch]:
        if arch not in self._near:
            self._near[arch] = list(neighbours(self._space, arch))
        return self._near[arch]
