"""A small space, and searches of it that are answered."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from foretell.searchers import (
    Question,
    Searcher,
)
from foretell.spaces import (
    Arch,
    Json,
    NASBench201,
    Space,
)

Transcript = list[tuple[Question, float]]


@dataclass(frozen=True)
class Toy:
    """Three positions of three options; reversed is isomorphic, 222 is not allowed: 17 classes."""

    name: str = "toy"
    choices: tuple[tuple[str, ...], ...] = (("a", "b", "c"),) * 3

    def is_valid(self, arch: Arch) -> bool:
        return arch != (2, 2, 2)

    def canonical(self, arch: Arch) -> Arch:
        return min(arch, arch[::-1])

    def build(self, arch: Arch, seed: int) -> nn.Module:
        raise NotImplementedError

    def parse(self, text: str) -> Arch:
        raise NotImplementedError

    def format(self, arch: Arch) -> str:
        raise NotImplementedError

    def settings(self) -> dict[str, Json]:
        raise NotImplementedError


TOY: Space = Toy()


CLASSES = 17


NB201 = NASBench201()


def answer(question: Question) -> float:
    """Some value, the same whenever asked; a few are undefined."""
    value = random.Random(f"{question}").random()
    return math.nan if value < 0.1 else value


def run(search: Searcher, tells: int, at_once: int = 3) -> Transcript:
    """Ask and tell, in an order that is not the one asked in, until there is nothing to ask."""
    transcript: Transcript = []
    while len(transcript) < tells and (asked := search.ask(at_once)):
        for question in asked[1:] + asked[:1]:
            transcript.append((question, answer(question)))
            search.tell(*transcript[-1])
    return transcript


def accuracies(question: Question) -> float:
    """The more 3s the better: a hill that every step of a climb can feel."""
    return float(sum(option == 3 for option in question.arch))


def trained(search: Searcher, count: int, score: Callable[[Question], float]) -> list[Question]:
    """The first trainings of a search that is told of `accuracies`."""
    found: list[Question] = []
    while len(found) < count:
        (question,) = search.ask(1)
        if question.kind == "score":
            search.tell(question, score(question))
        else:
            search.tell(question, accuracies(question))
            found.append(question)
    return found
