"""Aging evolution, in which the oldest network is removed, optionally with move proposal.

Real et al. 2019, arXiv:1802.01548 (regularized evolution); population 64 and tournament 10 as in
Abdelfattah et al. 2021, arXiv:2101.08134, whose move proposal is also implemented here: all
architectures one edit away from the parent are scored and the best is taken; with probability 0.25,
one of them is taken at random instead.
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
"""The number of times a child of a trained class is mutated again before a random one is drawn."""


class AgingEvolution:
    """Mutates the best of a random `tournament` among the last `population` trained networks.

    The first `population` networks are random; results that were not requested also join the
    population. No two isomorphic architectures are trained: a child that is isomorphic to a known
    network is mutated again. With `moves`, all neighbours of a parent are scored and the best is
    trained, except that with probability `mix` a random one is trained.

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
        """Raises ForetellError for a setting out of range."""
        if not 1 <= tournament <= population:
            raise ForetellError(
                f"tournament is {tournament} and population is {population}; expected a tournament "
                "of at least 1 and at most the population"
            )
        if not 0 <= mix <= 1:
            raise ForetellError(f"mix is {mix}; expected a probability between 0 and 1")
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
        """Request random networks for the first population, then children or their scores."""
        missing = self._size - len(self._trained)
        if missing > 0:
            return self._random.ask(min(n, missing))
        return list(islice(self._wanted(n), n))

    def tell(self, question: Question, value: float) -> None:
        """Add a network to the population and remove the oldest; undefined is the worst result."""
        canonical = self._space.canonical(question.arch)
        value = -math.inf if math.isnan(value) else value
        if question.kind == "score":
            self._scores.setdefault(canonical, value)
            return
        self._random.tell(question, value)
        self._trained.add(canonical)
        self._alive.append((question.arch, value))

    def _wanted(self, n: int) -> Iterator[Question]:
        """Yield the questions for one child after another, without repetition."""
        asked: set[Arch] = set()
        for number in range(n):
            rng = random.Random(f"{self._seed}/{len(self._trained)}/{number}")
            parent = self._parent(rng)
            if self._moves and rng.random() >= self._mix:
                unscored = self._unscored(parent)
                if unscored:  # one parent at a time: these answers may change the next parent
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
        """The trainable neighbours of the parent whose scores are missing."""
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
        """A random neighbour that is not known; a known neighbour is mutated further."""
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
        """The first network of the random sequence that is neither trained nor requested."""
        drawn = (question.arch for question in self._random.ask(len(asked) + 1))
        return next((arch for arch in drawn if self._is_new(arch, asked)), None)

    def _is_new(self, arch: Arch, asked: set[Arch]) -> bool:
        canonical = self._space.canonical(arch)
        return canonical not in self._trained and canonical not in asked

    def _around(self, arch: Arch) -> list[Arch]:
        if arch not in self._near:
            self._near[arch] = list(neighbours(self._space, arch))
        return self._near[arch]
