"""`check_searcher` accepts a valid searcher, and names each requirement that is not met."""

import itertools
import random
from typing import Any

import pytest

from foretell.searchers import Question, RandomSearch
from foretell.spaces import NASBench201, Space, Subset, enumerate_space
from foretell.testing import check_searcher
from foretell.testing.searchers import Letters

SPACES = (Letters(),)


class Broken(RandomSearch):
    """Random search, the base of the broken searchers below."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self.space, self.seed = space, seed
        self.asked = 0
        self.heard: list[Question] = []


def test_a_searcher_that_keeps_the_laws_passes() -> None:
    check_searcher(RandomSearch)
    check_searcher(Broken, SPACES)


class Silent(Broken):
    def ask(self, n: int = 1) -> list[Question]:
        return []


class Generous(Broken):
    def ask(self, n: int = 1) -> list[Question]:
        return super().ask(n and n + 1)


class Outside(Broken):
    def ask(self, n: int = 1) -> list[Question]:
        return [Question((2, 2, 2), "train"), *super().ask(n)][:n]


class Unkind(Broken):
    def ask(self, n: int = 1) -> list[Question]:
        return [Question(one.arch, "guess") for one in super().ask(n)]  # type: ignore[arg-type]


class Always(Broken):
    def ask(self, n: int = 1) -> list[Question]:
        return super().ask(n) if n else super().ask(1)


class Forward(Broken):
    """A searcher whose every call returns the next questions."""

    def ask(self, n: int = 1) -> list[Question]:
        self.asked += 1
        return super().ask(n + self.asked)[self.asked :]


class Backward(Broken):
    """A searcher that returns its questions in reverse order."""

    def ask(self, n: int = 1) -> list[Question]:
        return super().ask(n)[::-1]


class Second(Broken):
    """A searcher that returns its second question if asked for one."""

    def ask(self, n: int = 1) -> list[Question]:
        return super().ask(2)[-1:] if n == 1 else super().ask(n)


class Longer(Broken):
    """Of many, others."""

    def ask(self, n: int = 1) -> list[Question]:
        return super().ask(n + 1)[1:] if n > 10 else super().ask(n)


class Counting(Broken):
    """A searcher whose state depends on what was asked."""

    def ask(self, n: int = 1) -> list[Question]:
        self.asked = max(self.asked, n)
        return super().ask(n)

    def tell(self, question: Question, value: float) -> None:
        if self.asked > 4 and not self.heard:
            self.heard.append(question)
            for other in super().ask(2):
                super().tell(other, 0.0)
        super().tell(question, value)


class Whimsical(Broken):
    """A searcher of which every other instance changes its mind after fourteen answers."""

    number = itertools.count()

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self.whim = next(Whimsical.number) % 2

    def ask(self, n: int = 1) -> list[Question]:
        skipped = self.whim if len(self.heard) > 14 else 0
        return super().ask(n and n + skipped)[skipped:]

    def tell(self, question: Question, value: float) -> None:
        self.heard.append(question)
        super().tell(question, value)


class Global(Broken):
    def tell(self, question: Question, value: float) -> None:
        random.random()
        super().tell(question, value)


class Seedless(Broken):
    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, 0)


class Expecting(Broken):
    """A searcher that continues differently if it is told an answer before it asked."""

    def ask(self, n: int = 1) -> list[Question]:
        self.asked += 1
        return super().ask(n + 1)[1:] if self.heard else super().ask(n)

    def tell(self, question: Question, value: float) -> None:
        if not self.asked:
            self.heard.append(question)
        super().tell(question, value)


class Stubborn(Broken):
    """A searcher that asks questions whose answers it was already told."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self.planned = [one.arch for one in super().ask(1_000)]

    def ask(self, n: int = 1) -> list[Question]:
        mine = {one.arch for one in self.heard}
        return [Question(arch, "train") for arch in self.planned if arch not in mine][:n]

    def tell(self, question: Question, value: float) -> None:
        if question.arch in self.planned:
            self.heard.append(question)


class Silenced(Broken):
    """A searcher that asks nothing after an answer to a question that it did not ask."""

    def ask(self, n: int = 1) -> list[Question]:
        return [] if self.heard else super().ask(n)

    def tell(self, question: Question, value: float) -> None:
        if question.kind == "score":
            self.heard.append(question)
        super().tell(question, value)


class Twins(Broken):
    """A searcher whose last question is the first one reversed, if many are asked at once."""

    def ask(self, n: int = 1) -> list[Question]:
        found = super().ask(n)
        first = next((one for one in found if one.arch != one.arch[::-1]), None)
        if n < 30 or first is None:
            return found
        return [*found, Question(first.arch[::-1], "train")]


class Mirrored(Broken):
    """A searcher that asks a word and its reverse."""

    def ask(self, n: int = 1) -> list[Question]:
        found = []
        for one in super().ask(n):
            found += [one, Question(one.arch[::-1], "train")]
        return list(dict.fromkeys(found))[:n]


class Endless(Broken):
    """A searcher that starts again when everything is known."""

    def ask(self, n: int = 1) -> list[Question]:
        return super().ask(n) or RandomSearch(self.space, self.seed).ask(n)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Silent, "a fresh search of letters asks nothing"),
        (Generous, r"ask\(1\) gives 2 questions"),
        (Outside, r"\(2, 2, 2\) is not in letters"),
        (Unkind, "a question's kind is 'guess'"),
        (Always, r"ask\(0\) gives questions"),
        (Forward, "asking twice gives different questions"),
        (Backward, r"ask\(20\) does not begin with what ask\(5\) gives"),
        (Second, r"ask\(1\) is not the first of what ask\(5\) gives"),
        (Longer, r"ask\(20\) does not begin with what ask\(5\) gives"),
        (Counting, "asking for more has changed what is asked next"),
        (Whimsical, "equal seeds and answers give different questions"),
        (Global, "changed a global random number generator"),
        (Seedless, "different seeds give the same questions"),
        (Expecting, "resumed after 1 answers, it asks different"),
        (Stubborn, "asks a question whose answer it was already told"),
        (Silenced, "after answers to questions it did not ask, it asks nothing"),
        (Endless, "a network, or an isomorphic one, is asked for twice"),
        (Mirrored, "a network, or an isomorphic one, is asked for twice"),
        (Twins, "two of the questions asked at once are isomorphic"),
    ],
)
def test_a_broken_law_is_named(broken: Any, said: str) -> None:
    state = random.getstate()
    with pytest.raises(AssertionError, match=said):
        check_searcher(broken, SPACES)
    random.setstate(state)


def test_a_search_that_does_not_end_is_named() -> None:
    """The end is checked even if it comes after the answers that the other checks use."""
    whole = NASBench201()
    few = Subset(whole, list(enumerate_space(whole))[::61])
    check_searcher(RandomSearch, [few])
    with pytest.raises(AssertionError, match="all of a small space is known, but it still asks"):
        check_searcher(Endless, [few])
