"""The requirements that every searcher must meet."""

import itertools
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from foretell.checks import as_function, wrong
from foretell.errors import ForetellError
from foretell.searchers import Question, Searcher
from foretell.spaces import Arch, Json, NASBench201, Space, as_space, enumerate_space, sample
from foretell.testing.generators import generator_states

__all__ = ["Letters", "answer", "check_searcher", "converse"]

Make = Callable[[Space, int], Searcher]
"""A function that takes a space and a seed and returns a searcher."""

SMALL = 1_000
"""A search of a space with fewer architectures must end."""

Conversation = list[tuple[Question, float]]
"""Questions with their answers, in the order of the answers."""


@dataclass(frozen=True)
class Letters:
    """A space of words of three letters, without "ccc"; reversed words are isomorphic.

    It is small enough for a search to end, with 17 classes. It has no networks.
    """

    name: str = "letters"
    choices: tuple[tuple[str, ...], ...] = (("a", "b", "c"),) * 3

    def is_valid(self, arch: Arch) -> bool:
        """Whether `arch` is a word of the space."""
        return len(arch) == 3 and all(0 <= letter < 3 for letter in arch) and arch != (2, 2, 2)

    def canonical(self, arch: Arch) -> Arch:
        """The word or its reverse, whichever comes first in the alphabet."""
        return min(arch, arch[::-1])

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """Raises ForetellError, since a searcher must not build networks."""
        raise ForetellError("a space of words has no networks; a searcher must not build any")

    def parse(self, text: str) -> Arch:
        """The architecture of a word."""
        return tuple("abc".index(letter) for letter in text)

    def format(self, arch: Arch) -> str:
        """The word of an architecture."""
        return "".join("abc"[letter] for letter in arch)

    def settings(self) -> dict[str, Json]:
        """There are no settings."""
        return {}


def check_searcher(make: Make, spaces: Sequence[Space] = (Letters(), NASBench201())) -> None:
    """Raise AssertionError with the requirement that the searchers do not meet, if any.

    `make` takes a space and a seed and returns a searcher; its settings must let it start to search
    after about twenty answers. It is checked on each of `spaces`; in those with fewer than a
    thousand architectures, the search must also end.

    >>> from foretell.searchers import RandomSearch
    >>> check_searcher(RandomSearch)
    """
    as_function("make", make, "a function of a space and a seed")
    before = generator_states()
    if not isinstance(spaces, Iterable) or isinstance(spaces, str | bytes | Mapping):
        raise wrong("spaces", spaces, "a list of spaces")
    for space in [as_space(space, "an entry of spaces") for space in spaces]:
        if not callable(getattr(made := make(space, 0), "ask", None)):
            raise wrong("what make returns", made, "a searcher, which has the methods ask and tell")
        check_asks(make, space)
        check_asking_changes_nothing(make, space)
        check_seeds(make, space)
        check_resuming(make, space)
        check_unasked(make, space)
        check_nothing_twice(make, space)
        check_end(make, space)
    assert generator_states() == before, "the searcher changed a global random number generator"


def answer(question: Question) -> float:
    """A value that depends only on the question; a tenth of them are undefined."""
    value = random.Random(f"{question}").random()
    return math.nan if value < 0.1 else value


def converse(search: Searcher, tells: int, at_once: int = 3) -> Conversation:
    """Ask and tell, in a different order, until there are no questions or `tells` answers."""
    told: Conversation = []
    while len(told) < tells and (asked := search.ask(at_once)):
        for question in asked[1:] + asked[:1]:
            told.append((question, answer(question)))
            search.tell(*told[-1])
    return told


def check_asks(make: Make, space: Space) -> None:
    """Check that `ask(n)` returns at most n questions, all on valid architectures."""
    search = make(space, 0)
    assert search.ask(1), f"a fresh search of {space.name} asks nothing"
    assert search.ask(0) == [], "ask(0) gives questions"
    for n in itertools.islice(itertools.cycle([1, 4, 2]), 30):
        asked = search.ask(n)
        assert len(asked) <= n, f"ask({n}) gives {len(asked)} questions"
        for question in asked:
            assert space.is_valid(question.arch), f"{question.arch} is not in {space.name}"
            known = question.kind in ("score", "train")
            assert known, f"a question's kind is {question.kind!r}, not 'score' or 'train'"
            search.tell(question, answer(question))


def check_asking_changes_nothing(make: Make, space: Space) -> None:
    """Check that only `tell` changes what is asked, and that `ask(n)` begins with `ask(1)`."""
    asked_much, asked_little = make(space, 0), make(space, 0)
    for _ in range(12):
        questions = asked_much.ask(5)
        assert asked_much.ask(5) == questions, "asking twice gives different questions"
        longer = asked_much.ask(20)[: len(questions)]
        assert longer == questions, "ask(20) does not begin with what ask(5) gives"
        first = asked_much.ask(1)
        assert first == questions[:1], "ask(1) is not the first of what ask(5) gives"
        assert asked_little.ask(1) == first, "asking for more has changed what is asked next"
        for question in first:
            asked_much.tell(question, answer(question))
            asked_little.tell(question, answer(question))


def check_seeds(make: Make, space: Space) -> None:
    """Check that the questions are determined by the seed and the answers."""
    state = random.getstate()
    same = converse(make(space, 5), 25) == converse(make(space, 5), 25)
    assert same, "equal seeds and answers give different questions"
    assert random.getstate() == state, "the searcher changed a global random number generator"
    asks = {tuple(make(space, seed).ask(5)) for seed in range(10)}
    assert len(asks) > 5, "different seeds give the same questions"


def check_resuming(make: Make, space: Space) -> None:
    """Check that a new searcher that receives all answers continues in the same way."""
    search, told = make(space, 0), Conversation()
    for question, value in converse(make(space, 0), 24):
        resumed = make(space, 0)
        for known in told:
            resumed.tell(*known)
        assert resumed.ask(6) == search.ask(6), (
            f"resumed after {len(told)} answers, it asks different questions"
        )
        told.append((question, value))
        search.tell(question, value)


def check_unasked(make: Make, space: Space) -> None:
    """Check that a searcher accepts answers to questions it did not ask, and does not ask them."""
    rng = random.Random(3)
    for before in (0, 5, 12):
        search, known = make(space, 0), set[tuple[Arch, str]]()
        known.update(identity(space, question) for question, _ in converse(search, before))
        for place in range(6):
            question = Question(sample(space, rng), "train" if place % 2 else "score")
            search.tell(question, answer(question))
            known.add(identity(space, question))
        trained = {arch for arch, kind in known if kind == "train"}
        asked = {identity(space, question) for question in search.ask(40)}
        left = len(trained) < len(first_classes(space))
        assert asked or not left, "after answers to questions it did not ask, it asks nothing"
        assert not asked & known, "it asks a question whose answer it was already told"


def identity(space: Space, question: Question) -> tuple[Arch, str]:
    """The identity of a question, in which isomorphic architectures are equal."""
    return space.canonical(question.arch), question.kind


def check_nothing_twice(make: Make, space: Space) -> None:
    """Check that no two questions are about isomorphic architectures."""
    told = [identity(space, question) for question, _ in converse(make(space, 0), 60)]
    assert len(told) == len(set(told)), "a network, or an isomorphic one, is asked for twice"
    at_once = [identity(space, question) for question in make(space, 0).ask(40)]
    assert len(at_once) == len(set(at_once)), "two of the questions asked at once are isomorphic"


def first_classes(space: Space) -> set[Arch]:
    """The classes of isomorphic architectures; in a large space, of its first architectures."""
    archs = itertools.islice(enumerate_space(space), SMALL)
    return {space.canonical(arch) for arch in archs}


def check_end(make: Make, space: Space) -> None:
    """Check that the search of a small space ends."""
    if len(list(itertools.islice(enumerate_space(space), SMALL))) < SMALL:
        search = make(space, 0)
        converse(search, 2 * len(first_classes(space)) + 1)  # a score and a training each
        assert search.ask(5) == [], "all of a small space is known, but it still asks"
