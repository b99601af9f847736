"""REINFORCE: a recurrent controller learns to generate architectures that are worth training.

Zoph & Le 2017, arXiv:1611.01578: an LSTM draws the options in sequence and learns by the algorithm
of Williams 1992. The settings of arXiv:2101.08134 are unknown; the learning rate and baseline are
those of NAS-Bench-201's REINFORCE (arXiv:2001.00326). With warmup and move proposal, the controller
also learns from scores: `warmup` rewards before any training, `moves` rewards between trainings.
"""

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Literal

import numpy as np

from foretell.errors import ForetellError
from foretell.searchers.controller import Controller
from foretell.searchers.searcher import Question, distinct
from foretell.spaces.space import Arch, Listed, Space

__all__ = ["Reinforce"]

TRIES = 20
"""The number of architectures drawn at a time; if none is new, a random one is requested
instead."""
SCORED = 20
"""The number of networks to score at a time; it is small, so that draws depend on recent
rewards."""
FREE = 5
"""The number of architectures drawn after each answer; learning from the known ones costs
nothing."""


class Reinforce:
    """A controller that generates architectures by an LSTM and learns from their rewards.

    A reward is the share of earlier answers of the same kind that were lower, so that accuracies
    and scores of any scale are comparable; the baseline is the moving average of rewards. After
    each answer, the controller draws five architectures, and learns in one step from the known
    rewards of those before the first unknown one, without training or scoring them again. `warmup`
    and `moves` count all scores that the controller learns from, including these, so fewer scores
    are computed if it draws known architectures. `entropy` is the weight of an entropy bonus,
    without which the controller soon generates only a few architectures. In a listed space, only
    listed architectures are drawn. Equal seeds and answers give equal controllers.

    >>> from foretell.spaces import NASBench201
    >>> search = Reinforce(NASBench201(), seed=0, warmup=1)
    >>> [question.kind for question in search.ask(1)]
    ['score']
    >>> search.tell(search.ask(1)[0], 3.0)
    >>> [question.kind for question in search.ask(1)]
    ['train']
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        warmup: int = 0,
        moves: int = 0,
        hidden: int = 64,
        lr: float = 0.01,
        momentum: float = 0.9,
        entropy: float = 0.2,
    ) -> None:
        """Raises ForetellError for a setting out of range."""
        if min(warmup, moves, entropy) < 0 or hidden < 1 or not lr > 0 or not 0 <= momentum < 1:
            raise ForetellError(
                f"reinforce has warmup {warmup}, moves {moves}, hidden {hidden}, lr {lr}, momentum "
                f"{momentum} and entropy {entropy}; expected numbers of at least 0, hidden of at "
                "least 1, lr above 0 and a momentum below 1"
            )
        self._space = space
        self._seed = seed
        self._warmup, self._moves, self._entropy = warmup, moves, entropy
        options = tuple(map(len, space.choices))
        listed = space.listed() if isinstance(space, Listed) else None
        self._controller = Controller(options, hidden, lr, hash_of(seed, 0), listed)
        self._rewards = {"train": Rewards(momentum), "score": Rewards(momentum)}
        self._random = {"train": Unknown(space, seed), "score": Unknown(space, seed)}
        self._told = 0
        self._asked: dict[tuple[str, int], list[Question]] = {}
        self._since = 0  # steps on scores since the last training

    def ask(self, n: int = 1) -> list[Question]:
        """Request scores, if they are due, or trainings of networks drawn by the controller."""
        scores = self._drawn("score", min(self._scores_wanted(), SCORED))
        return scores[:n] or self._drawn("train", n)

    def tell(self, question: Question, value: float) -> None:
        """Learn from an answer, then again from known architectures that the controller draws."""
        self._told += 1
        self._asked = {}
        rewards = self._rewards[question.kind]
        rewards.add(self._space.canonical(question.arch), value)
        self._since = 0 if question.kind == "train" else self._since + 1
        self._learn([question.arch], rewards)
        self._learn_from_known(question.kind)

    def _scores_wanted(self) -> int:
        wanted = self._moves if self._rewards["train"].known else self._warmup
        return max(wanted - self._since, 0)

    def _drawn(self, kind: Literal["score", "train"], n: int) -> list[Question]:
        """Distinct networks without an answer of this kind, drawn once between two answers."""
        if n and (kind, n) not in self._asked:
            self._asked[kind, n] = self._draw(kind, n)
        return list(self._asked.get((kind, n), []))

    def _draw(self, kind: Literal["score", "train"], n: int) -> list[Question]:
        known, rng = self._rewards[kind].known, generator(self._seed, self._told)
        found: dict[Arch, Arch] = {}
        before = -1
        while before < len(found) < n:
            before = len(found)
            for arch in self._controller.draw(rng, TRIES):
                canonical = self._space.canonical(arch) if self._space.is_valid(arch) else None
                if canonical is not None and canonical not in known:
                    found.setdefault(canonical, arch)
        if not found:  # the controller draws only known networks; the space may have others
            found = self._random[kind].first(known)
        return [Question(arch, kind) for arch in islice(found.values(), n)]

    def _learn_from_known(self, kind: Literal["score", "train"]) -> None:
        """Draw networks, and learn from the known ones that precede the first unknown one."""
        rewards, rng = self._rewards[kind], generator(self._seed, -self._told)
        rounds = 1 if kind == "train" else -(-self._scores_wanted() // FREE)
        for _ in range(rounds):
            drawn = [a for a in self._controller.draw(rng, FREE) if self._space.is_valid(a)]
            known = list(takewhile(lambda a: self._space.canonical(a) in rewards.known, drawn))
            if known:
                self._learn(known, rewards)
            self._since += len(known) if kind == "score" else 0
            if len(known) < len(drawn):
                return

    def _learn(self, archs: Sequence[Arch], rewards: "Rewards") -> None:
        """Take one step of REINFORCE."""
        advantages = [rewards.advantage(self._space.canonical(arch)) for arch in archs]
        self._controller.learn(archs, advantages, self._entropy)


class Unknown:
    """A stream of random architectures that is searched for unknown ones."""

    def __init__(self, space: Space, seed: int) -> None:
        self._drawn = distinct(space, seed)
        self._next: tuple[Arch, Arch] | None = None

    def first(self, known: Mapping[Arch, float]) -> dict[Arch, Arch]:
        """The first architecture of the stream that is not in `known`, which may only grow."""
        while self._next is None or self._next[1] in known:
            self._next = next(self._drawn, None)
            if self._next is None:
                return {}
        arch, canonical = self._next
        return {canonical: arch}


@dataclass
class Rewards:
    """The answers so far and their advantages."""

    momentum: float
    known: dict[Arch, float] = field(default_factory=dict)
    _sorted: list[float] = field(default_factory=list)
    _baseline: float | None = None

    def add(self, canonical: Arch, value: float) -> None:
        """Record an answer; undefined counts as the worst."""
        value = -math.inf if math.isnan(value) else value
        self.known[canonical] = value
        bisect.insort(self._sorted, value)

    def advantage(self, canonical: Arch) -> float:
        """The share of answers below this one (equal ones count half), minus its moving average."""
        value = self.known[canonical]
        below = bisect.bisect_left(self._sorted, value)
        up_to = bisect.bisect_right(self._sorted, value)
        reward = (below + up_to) / 2 / len(self._sorted)
        before = reward if self._baseline is None else self._baseline
        self._baseline = self.momentum * before + (1 - self.momentum) * reward
        return reward - self._baseline


def generator(seed: int, told: int) -> np.random.Generator:
    """A random number generator that is determined by the seed and the number of answers."""
    return np.random.default_rng(hash_of(seed, told))


def hash_of(seed: int, told: int) -> int:
    """The seed of a generator, derived from a seed and a number of answers.

    >>> hash_of(1, 2) != hash_of(2, 1)
    True
    """
    return (seed * 1_000_003 + told * 7_919 + 12_345) % (1 << 62)
