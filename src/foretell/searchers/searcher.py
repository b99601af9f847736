"""The interface of search algorithms: `ask` returns questions, `tell` accepts their answers.

A searcher is independent of evaluation, storage and time. Only `tell` changes its state; `ask` does
not. Any result may therefore be passed to `tell`, whether it was requested or not, and a run is
resumed by passing the stored results to a new searcher in the order in which they were written.
Equal seeds and answers give equal questions.

With move proposal, an algorithm first requests the scores of the candidates, and then the training
of the best one.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from foretell.checks import as_seed
from foretell.spaces.choices import as_space
from foretell.spaces.space import Arch, Space, enumerate_space, sample, size

PATIENCE = 1_000
"""The number of consecutive isomorphs after which the rest of the space is enumerated."""
LISTABLE = 1_000_000
"""Spaces with more tuples of choices are not enumerated; drawing ends instead."""


@dataclass(frozen=True)
class Question:
    """A request for the score or for the trained accuracy of an architecture.

    >>> Question((3, 3, 3, 0, 1, 3), "score").kind
    'score'
    """

    arch: Arch
    kind: Literal["score", "train"]


class Searcher(Protocol):
    """An algorithm that decides what to evaluate next."""

    def ask(self, n: int = 1) -> list[Question]:
        """The next questions, at most `n`, in order of priority; the same until the next `tell`.

        To work on several questions at a time, request that many and skip those in progress. An
        empty list means that answers are pending or the search is over.
        """

    def tell(self, question: Question, value: float) -> None:
        """Pass an answer to the searcher; higher is better, and nan means undefined."""


def distinct(space: Space, seed: int) -> Iterator[tuple[Arch, Arch]]:
    """Yield random architectures, no two of them isomorphic, each with its canonical form.

    The iterator ends when the space is exhausted or, in a space too large to enumerate, after
    `PATIENCE` consecutive isomorphs.

    >>> from foretell.spaces import NASBench201
    >>> arch, canonical = next(distinct(NASBench201(), seed=0))
    >>> NASBench201().canonical(arch) == canonical
    True
    """
    as_space(space)
    rng = random.Random(as_seed("seed", seed))
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
