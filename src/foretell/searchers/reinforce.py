"""REINFORCE: a recurrent controller learns to write architectures that are worth training.

Zoph & Le 2017, arXiv:1611.01578: an LSTM draws one option after another; Williams 1992 is how it
learns. The settings of arXiv:2101.08134 are unknown; learning rate and baseline are those of
NAS-Bench-201's REINFORCE (arXiv:2001.00326). Its warmup and move proposal teach the controller by
scores: `warmup` of them before any training, `moves` of them between two trainings.
"""

import bisect
import math
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn

from foretell.errors import ForetellError
from foretell.searchers.random import RandomSearch
from foretell.searchers.searcher import Question
from foretell.spaces.space import Arch, Space

__all__ = ["Reinforce"]

TRIES = 20
"""Draws for one question before a random network is asked for instead."""
FREE = 5
"""How many known networks in a row teach it for nothing before it is asked again."""


class Reinforce:
    """A controller that draws options by an LSTM and is moved towards what paid.

    A reward is the share of the earlier answers of its kind that were lower, so accuracies and
    scores of any scale teach alike; the baseline is their moving average. A drawn network whose
    class is known teaches its known reward again, up to five times in a row, and is not trained
    again. As no network is trained twice, `entropy` weighs a reward for drawing evenly: without it
    the controller soon writes the same few forever. Equal seeds and tells give an equal controller.

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
        entropy: float = 0.1,
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
        self._controller = controller_of(space, hidden, seed)
        self._optimizer = torch.optim.Adam(self._controller.parameters(), lr=lr)
        self._rewards = {"train": Rewards(momentum), "score": Rewards(momentum)}
        self._random = RandomSearch(space, seed)
        self._told = 0
        self._since = 0  # scores told since the last training

    def ask(self, n: int = 1) -> list[Question]:
        """Networks that the controller draws: to score while scores teach, then to train."""
        scores = self._scores_wanted()
        if scores:
            return self._drawn("score", min(n, scores))
        return self._drawn("train", n)

    def tell(self, question: Question, value: float) -> None:
        """Teach the controller; then what it draws and is known teaches it again."""
        self._told += 1
        canonical = self._space.canonical(question.arch)
        if question.kind == "train":
            self._random.tell(question, value)
            self._since = 0
        else:
            self._since += 1
        rewards = self._rewards[question.kind]
        rewards.add(canonical, value)
        self._learn(question.arch, rewards)
        if question.kind == "train":
            self._learn_from_known(rewards)

    def _scores_wanted(self) -> int:
        scored, trained = (len(self._rewards[kind].known) for kind in ("score", "train"))
        if not trained and scored < self._warmup:
            return self._warmup - scored
        return max(self._moves - self._since, 0) if trained else 0

    def _drawn(self, kind: str, n: int) -> list[Question]:
        """Distinct networks that have no answer of this kind yet."""
        found: dict[Arch, Arch] = {}
        generator = torch.Generator().manual_seed(hash_of(self._seed, self._told))
        known = self._rewards[kind].known
        misses = 0
        while len(found) < n and misses < TRIES:
            arch = self._draw(generator)
            canonical = self._space.canonical(arch) if self._space.is_valid(arch) else None
            misses += 1
            if canonical is not None and canonical not in known and canonical not in found:
                found[canonical] = arch
                misses = 0
        if n and not found:  # it draws the same few; the space may have others
            untrained = (q.arch for q in self._random.ask(TRIES + len(known)))
            fresh = (a for a in untrained if self._space.canonical(a) not in known)
            found = {self._space.canonical(arch): arch for arch in islice(fresh, 1)}
        return [Question(arch, "train" if kind == "train" else "score") for arch in found.values()]

    def _learn_from_known(self, rewards: "Rewards") -> None:
        generator = torch.Generator().manual_seed(hash_of(self._seed, -self._told))
        for _ in range(FREE):
            arch = self._draw(generator)
            if not self._space.is_valid(arch):
                continue
            if self._space.canonical(arch) not in rewards.known:
                return
            self._learn(arch, rewards)

    def _learn(self, arch: Arch, rewards: "Rewards") -> None:
        """One step of REINFORCE."""
        advantage = rewards.advantage(self._space.canonical(arch))
        logits = self._controller(torch.tensor([arch]))
        logs = torch.log_softmax(logits, dim=-1)
        chosen = logs.gather(-1, torch.tensor([arch])[..., None]).sum()
        loss = -advantage * chosen
        if self._entropy:
            loss = loss + self._entropy * (logs.exp() * logs.clamp(min=-1e9)).sum()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    @torch.no_grad()
    def _draw(self, generator: torch.Generator) -> Arch:
        return self._controller.draw(generator)


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


class Controller(nn.Module):
    """An LSTM that reads the options so far and scores those at the next position."""

    def __init__(self, options: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.options = options
        first = [0]
        for count in options[:-1]:
            first.append(first[-1] + count)
        start = sum(options)
        self.embedding = nn.Embedding(start + 1, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.out = nn.Parameter(torch.zeros(len(options), hidden, max(options)))
        self.register_buffer("first", torch.tensor(first))
        allowed = torch.arange(max(options)) < torch.tensor(options)[:, None]
        self.register_buffer("forbidden", torch.where(allowed, 0.0, -torch.inf))
        self.start = start

    def forward(self, archs: Tensor) -> Tensor:
        """Logits, architecture by position by option, given the options before."""
        first: Tensor = self.first  # type: ignore[assignment]
        forbidden: Tensor = self.forbidden  # type: ignore[assignment]
        words = archs[:, :-1] + first[:-1]
        starts = torch.full((len(archs), 1), self.start)
        hidden, _ = self.lstm(self.embedding(torch.cat([starts, words], dim=1)))
        return torch.einsum("bph,pho->bpo", hidden, self.out) + forbidden

    def draw(self, generator: torch.Generator) -> Arch:
        """An architecture, one option after another."""
        word, state = torch.tensor([[self.start]]), None
        first: list[int] = self.first.tolist()  # type: ignore[operator]
        arch: list[int] = []
        for position, count in enumerate(self.options):
            hidden, state = self.lstm(self.embedding(word), state)
            logits = hidden[0, 0] @ self.out[position, :, :count]
            option = int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
            arch.append(option)
            word = torch.tensor([[first[position] + option]])
        return tuple(arch)


def controller_of(space: Space, hidden: int, seed: int) -> Controller:
    """An untrained controller: every option as likely as the others; weights from the seed."""
    controller = Controller(tuple(map(len, space.choices)), hidden)
    generator = torch.Generator().manual_seed(hash_of(seed, 0))
    with torch.no_grad():
        for name, parameter in controller.named_parameters():
            if name != "out":
                parameter.uniform_(-0.1, 0.1, generator=generator)
    return controller


def hash_of(seed: int, told: int) -> int:
    """A generator's seed for each seed and each number of answers.

    >>> hash_of(1, 2) != hash_of(2, 1)
    True
    """
    return (seed * 1_000_003 + told * 7_919 + 12_345) % (1 << 62)
