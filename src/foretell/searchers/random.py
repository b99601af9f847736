"""Random search: the baseline that every other search should outperform.

Li & Talwalkar 2019, arXiv:1902.07638.
"""

from collections.abc import Iterator
from itertools import islice

from foretell.searchers.searcher import Question, distinct
from foretell.spaces.space import Arch, Space


class RandomSearch:
    """Trains random, pairwise non-isomorphic architectures in the order in which they are drawn.

    >>> from foretell.spaces import NASBench201
    >>> search = RandomSearch(NASBench201(), seed=0)
    >>> first, second = search.ask(2)
    >>> search.tell(first, 93.7)
    >>> search.ask(1) == [second]
    True
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._stream = distinct(space, seed)
        self._drawn: list[tuple[Arch, Arch]] = []  # the stream so far; asking again replays it
        self._trained: set[Arch] = set()  # canonical forms

    def ask(self, n: int = 1) -> list[Question]:
        """Request the first `n` networks of the stream without a result, or all that are left."""
        untold = (arch for arch, canonical in self._replay() if canonical not in self._trained)
        return [Question(arch, "train") for arch in islice(untold, n)]

    def tell(self, question: Question, value: float) -> None:
        """Record a training, so that no isomorphic architecture is requested any more."""
        if question.kind == "train":
            self._trained.add(self._space.canonical(question.arch))

    def _replay(self) -> Iterator[tuple[Arch, Arch]]:
        yield from self._drawn
        for pair in self._stream:
            self._drawn.append(pair)
            yield pair
