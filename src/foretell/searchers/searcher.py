"""What a search is: it asks questions and is told answers, nothing else.

A searcher knows no evaluation, no storage and no time. Asking never changes what it knows;
telling does. So any result may be told, asked for or not, and resuming a run is telling a fresh
searcher what the store holds, in the order it was written. Equal seeds and tells, equal asks.

An algorithm that lets a proxy propose its moves asks to score the candidates first and, once told,
to train the best of them.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from foretell.spaces.space import Arch, Space, enumerate_space, sample, size

PATIENCE = 1_000
"""After so many isomorphs in a row, random draws give way to listing what is left."""
LISTABLE = 1_000_000
"""Spaces of more tuples than this are not listed: there, the draws end instead."""


@dataclass(frozen=True)
class Question:
    """What a searcher wants to know: the proxy score or the trained accuracy of a network."""

    arch: Arch
    kind: Literal["score", "train"]


class Searcher(Protocol):
    """An algorithm that decides what to evaluate next."""

    def ask(self, n: int = 1) -> list[Question]:
        """The next questions, at most `n`, most wanted first; the same until something is told.

        Whoever works on several at once asks for that many and leaves out what is under way.
        None at all means that answers are awaited or the search is over.
        """

    def tell(self, question: Question, value: float) -> None:
        """Make an answer known; higher is better, nan is undefined."""


def distinct(space: Space, seed: int) -> Iterator[tuple[Arch, Arch]]:
    """Random architectures of which no two are isomorphic, each with its canonical form.

    It ends when the space has no more, or, in a space too large to list, after many
    isomorphs in a row.
    """
    rng = random.Random(seed)
    seen: set[Arch] = set()
    misses = 0
    while misses < PATIENCE:
        arch = sample(space, rng)
        canonical = space.canonical(arch)
        misses = misses + 1 if canonical in seen else 0
        if not misses:
            seen.add(canonical)
            yield arch, canonical
    rest = list(enumerate_space(space)) if size(space) <= LISTABLE else []
    rng.shuffle(rest)
    for arch in rest:
        canonical = space.canonical(arch)
        if canonical not in seen:
            seen.add(canonical)
            yield arch, canonical
