"""REINFORCE: a recurrent controller learns to write architectures that are worth training.

Zoph & Le 2017, arXiv:1611.01578: an LSTM draws one option after another; Williams 1992 is how it
learns. The settings of arXiv:2101.08134 are unknown; learning rate and baseline are those of
NAS-Bench-201's REINFORCE (arXiv:2001.00326). Its warmup and move proposal teach the controller by
scores: `warmup` rewards before any training, `moves` rewards between two trainings.
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
"""Draws at a time; if none of them is new, a random network is asked for instead."""
SCORED = 20
"""Networks to score at a time, so that it draws by what the last ones taught."""
FREE = 5
"""Draws after each answer, of which those that are known teach it for nothing."""


class Reinforce:
    """A controller that draws options by an LSTM and is moved towards what paid.

    A reward is the share of the earlier answers of its kind that were lower, so accuracies and
    scores of any scale teach alike; the baseline is their moving average. After each answer it
    draws five: those before the first whose class is not known teach their known rewards again, in
    one step, and are not trained or scored again. `warmup` and `moves` count what scores teach,
    these included, so that fewer are computed when it draws what it knows. `entropy` weighs a
    reward for drawing evenly: without it the controller soon writes the same few forever. Of a
    space that is listed it draws what is listed. Equal seeds and tells give an equal controller.

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
        """Raises ForetellError for settings below zero or a controller without units."""
        if min(warmup, moves, entropy) < 0 or hidden < 1 or not lr > 0 or not 0 <= momentum < 1:
            raise ForetellError(
                f"reinforce: warmup {warmup}, moves {moves}, hidden {hidden}, lr {lr}, momentum "
                f"{momentum}, entropy {entropy}; give numbers of at least 0, units and a learning "
                "rate above 0, a momentum below 1"
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
        self._since = 0  # steps by scores since the last training

    def ask(self, n: int = 1) -> list[Question]:
        """Networks that the controller draws: to score while scores teach, then to train."""
        scores = self._drawn("score", min(self._scores_wanted(), SCORED))
        return scores[:n] or self._drawn("train", n)

    def tell(self, question: Question, value: float) -> None:
        """Teach the controller; then what it draws and is known teaches it again."""
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
        """Distinct networks that have no answer of this kind yet, drawn once between two tells."""
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
        if not found:  # it draws the same few; the space may have others
            found = self._random[kind].first(known)
        return [Question(arch, kind) for arch in islice(found.values(), n)]

    def _learn_from_known(self, kind: Literal["score", "train"]) -> None:
        """Draw, and learn from what is drawn before the first network that is not known."""
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
        """One step of REINFORCE."""
        advantages = [rewards.advantage(self._space.canonical(arch)) for arch in archs]
        self._controller.learn(archs, advantages, self._entropy)


class Unknown:
    """Random architectures, to find one in that is not known."""

    def __init__(self, space: Space, seed: int) -> None:
        self._drawn = distinct(space, seed)
        self._next: tuple[Arch, Arch] | None = None

    def first(self, known: Mapping[Arch, float]) -> dict[Arch, Arch]:
        """The first not known by its canonical form, none if all are; what is known only grows."""
        while self._next is None or self._next[1] in known:
            self._next = next(self._drawn, None)
            if self._next is None:
                return {}
        arch, canonical = self._next
        return {canonical: arch}


@dataclass
class Rewards:
    """What was told, and what of it is better than usual."""

    momentum: float
    known: dict[Arch, float] = field(default_factory=dict)
    _sorted: list[float] = field(default_factory=list)
    _baseline: float | None = None

    def add(self, canonical: Arch, value: float) -> None:
        """Remember an answer; undefined is worst."""
        value = -math.inf if math.isnan(value) else value
        self.known[canonical] = value
        bisect.insort(self._sorted, value)

    def advantage(self, canonical: Arch) -> float:
        """The share of answers below it, less the moving average of such shares."""
        value = self.known[canonical]
        below = bisect.bisect_left(self._sorted, value)
        up_to = bisect.bisect_right(self._sorted, value)
        reward = (below + up_to) / 2 / len(self._sorted)
        before = reward if self._baseline is None else self._baseline
        self._baseline = self.momentum * before + (1 - self.momentum) * reward
        return reward - self._baseline


def generator(seed: int, told: int) -> np.random.Generator:
    """Draws for each seed and each number of answers."""
    return np.random.default_rng(hash_of(seed, told))


def hash_of(seed: int, told: int) -> int:
    """A generator's seed for each seed and each number of answers.

    >>> hash_of(1, 2) != hash_of(2, 1)
    True
    """
    return (seed * 1_000_003 + told * 7_919 + 12_345) % (1 << 62)
