"""NSGA-II: optimise the accuracy and the costs of networks together.

Deb et al. 2002, IEEE Transactions on Evolutionary Computation 6(2), with the operators and the
sorting of pymoo (Blank & Deb 2020). The cost of a network is known without training it, so it is a
function passed to the searcher, not an answer.

With a warmup, the algorithm first runs on scores in place of accuracies, and the resulting
population is the first one that is trained.
"""

import math
import random
from collections.abc import Callable, Sequence
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np

from foretell.errors import ForetellError
from foretell.names import extra
from foretell.searchers.random import RandomSearch
from foretell.searchers.searcher import Question, distinct
from foretell.spaces.space import Arch, Space, step

__all__ = ["Costs", "Nsga2"]

Costs = Callable[[Arch], Sequence[float]]


def free(arch: Arch) -> Sequence[float]:
    """No costs: the search optimises only the accuracy."""
    return ()


class Nsga2:
    """Evolves a population towards the Pareto front of accuracy and costs.

    Parents win tournaments of two by front, then by crowding distance; a child takes each choice
    from one of its two parents and is mutated once; the best `population` of parents and children
    survive. No two isomorphic architectures are trained. `costs` returns the other objectives of an
    architecture; lower is better.

    >>> from foretell.spaces import NASBench201
    >>> search = Nsga2(NASBench201(), seed=0, population=2, costs=lambda arch: [arch.count(3)])
    >>> for question, accuracy in zip(search.ask(2), [90.0, 80.0], strict=True):
    ...     search.tell(question, accuracy)
    >>> [question.kind for question in search.ask(2)]  # their children
    ['train', 'train']
    """

    def __init__(
        self, space: Space, seed: int, *, population: int = 20, warmup: int = 0, costs: Costs = free
    ) -> None:
        """Raises ForetellError for a population of less than two, or if pymoo is not installed."""
        if type(population) is not int or population < 2:
            raise ForetellError(f"population is {population!r}; expected an integer of at least 2")
        if type(warmup) is not int or warmup < 0:
            raise ForetellError(f"warmup is {warmup!r}; expected a number of networks to score")
        extra("pymoo", "moea")
        self._space = space
        self._seed = seed
        self._size = population
        self._costs = costs
        self._random = RandomSearch(space, seed)
        self._warmup = warmup
        first = [arch for arch, _ in islice(distinct(space, seed), population)]
        self._scored = Generations(space, seed, population, costs, first)
        self._trained = Generations(space, seed, population, costs, first)

    def ask(self, n: int = 1) -> list[Question]:
        """Request the scores of the warmup, then the trainings of one generation after another."""
        if self._missing() and not self._trained.known:
            scores = self._scored.wanted(min(n, self._missing()))
            return [Question(arch, "score") for arch in scores]
        if archs := self._trained.wanted(n):
            return [Question(arch, "train") for arch in archs]
        return self._random.ask(n)

    def tell(self, question: Question, value: float) -> None:
        """Record an answer; for isomorphic networks, only the first answer counts."""
        if question.kind == "train":
            self._random.tell(question, value)
            self._trained.tell(question.arch, value)
            return
        warming = self._missing()
        self._scored.tell(question.arch, value)
        if warming and not self._missing() and not self._trained.known:
            first = self._scored.best()
            self._trained = Generations(self._space, self._seed, self._size, self._costs, first)

    def _missing(self) -> int:
        """The number of scores that the warmup still needs; 0 if no new network can be bred."""
        missing = max(self._warmup - len(self._scored.known), 0)
        return missing if self._scored.wanted(1) else 0


class Generations:
    """pymoo's NSGA-II, which receives the results of single networks."""

    def __init__(
        self, space: Space, seed: int, size: int, costs: Costs, first: Sequence[Arch]
    ) -> None:
        self._space = space
        self._seed = seed
        self._size = size
        self._costs = costs
        self.known: dict[Arch, float] = {}  # by canonical form
        self._fresh: list[Arch] = []  # received since the last generation
        self._now = list(first)
        self._algorithm: Any = None

    def wanted(self, n: int) -> list[Arch]:
        """The networks of this generation without a result; empty if no new child could be bred."""
        untold = (arch for arch in self._now if self._space.canonical(arch) not in self.known)
        if self._algorithm is None:  # they belong to the first population
            n = min(n, self._size - len(self.known))
        return list(islice(untold, max(n, 0)))

    def tell(self, arch: Arch, value: float) -> None:
        """Record a result, and breed the next generation when this one is complete."""
        canonical = self._space.canonical(arch)
        if canonical in self.known:
            return
        self.known[canonical] = value
        self._fresh.append(arch)
        if self.wanted(1):
            return
        pymoo = modules()
        told = individuals(pymoo, self._fresh, [self._objectives(arch) for arch in self._fresh])
        if self._algorithm is None:
            self._algorithm = algorithm(
                pymoo, self._space, self._seed, self._size, told, self.known
            )
            self._algorithm.ask()
        self._algorithm.tell(infills=told)
        self._fresh = []
        self._algorithm.termination.force_termination = False
        bred = self._algorithm.ask()
        self._now = [] if bred is None else [one.X[0] for one in bred]

    def best(self) -> list[Arch]:
        """The current population, best first, or the known part of the first population."""
        if self._algorithm is None:
            return self._fresh
        return [one.X[0] for one in self._algorithm.pop]

    def _objectives(self, arch: Arch) -> list[float]:
        """The objectives; lower is better. An undefined accuracy is 1 below the worst known one."""
        value = self.known[self._space.canonical(arch)]
        if not math.isfinite(value):
            finite = [one for one in self.known.values() if math.isfinite(one)]
            value = min(finite, default=0.0) - 1.0
        return [-value, *map(float, self._costs(arch))]


def modules() -> dict[str, ModuleType]:
    """The modules of pymoo that are used, imported on demand."""
    names = (
        "algorithms.moo.nsga2",
        "core.crossover",
        "core.duplicate",
        "core.mutation",
        "core.population",
        "core.problem",
        "core.termination",
    )
    return {name: extra(f"pymoo.{name}", "moea") for name in names}


def individuals(
    pymoo: dict[str, ModuleType], archs: Sequence[Arch], objectives: list[list[float]]
) -> Any:
    """A pymoo population of evaluated architectures, each as a single variable."""
    variables = np.empty((len(archs), 1), dtype=object)
    for row, arch in zip(variables, archs, strict=True):
        row[0] = arch
    population = pymoo["core.population"].Population.new(X=variables, F=np.array(objectives))
    for one in population:
        one.evaluated.update({"F", "G", "H"})
    return population


def algorithm(
    pymoo: dict[str, ModuleType], space: Space, seed: int, size: int, first: Any, known: Any
) -> Any:
    """pymoo's NSGA-II for tuples of choices, without offspring in `known`, which grows."""
    made = pymoo["algorithms.moo.nsga2"].NSGA2(
        pop_size=size,
        sampling=first,
        crossover=crossover(pymoo, space),
        mutation=mutation(pymoo, space),
        eliminate_duplicates=elimination(pymoo, space, known),
        output=None,
    )
    problem = pymoo["core.problem"].Problem(n_var=1, n_obj=len(first[0].F), vtype=object)
    termination = pymoo["core.termination"].NoTermination()
    return made.setup(problem, termination=termination, seed=seed)


def crossover(pymoo: dict[str, ModuleType], space: Space) -> Any:
    """pymoo's crossover: each choice from either parent; a parent replaces an invalid child."""

    class Cross(pymoo["core.crossover"].Crossover):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_parents=2, n_offsprings=2)

        def _do(self, problem: Any, parents: Any, random_state: Any = None, **_: Any) -> Any:
            children = np.empty_like(parents)
            for pair in range(parents.shape[1]):
                mother, father = parents[0, pair, 0], parents[1, pair, 0]
                if len(mother) == len(father):
                    swap = random_state.random(len(mother)) < 0.5
                    both = list(zip(mother, father, swap, strict=True))
                    children[0, pair, 0] = tuple(f if s else m for m, f, s in both)
                    children[1, pair, 0] = tuple(m if s else f for m, f, s in both)
                for child, parent in enumerate((mother, father)):
                    crossed = children[child, pair, 0]
                    if crossed is None or not space.is_valid(crossed):
                        children[child, pair, 0] = parent
            return children

    return Cross()


def mutation(pymoo: dict[str, ModuleType], space: Space) -> Any:
    """pymoo's mutation: replaces an architecture by a random neighbour."""

    class Mutate(pymoo["core.mutation"].Mutation):  # type: ignore[misc]
        def _do(self, problem: Any, parents: Any, random_state: Any = None, **_: Any) -> Any:
            mutants = np.empty_like(parents)
            for row, arch in enumerate(parents[:, 0]):
                rng = random.Random(int(random_state.integers(2**62)))
                mutants[row, 0] = step(space, arch, rng)
            return mutants

    return Mutate()


def elimination(pymoo: dict[str, ModuleType], space: Space, known: Any) -> Any:
    """pymoo's elimination: removes offspring that are isomorphic to known or other new networks."""

    class New(pymoo["core.duplicate"].DuplicateElimination):  # type: ignore[misc]
        def do(self, pop: Any, *others: Any, **_: Any) -> Any:
            children = others[1] if len(others) > 1 else []
            seen = {space.canonical(one.X[0]) for one in children} | known.keys()
            fresh = []
            for number, one in enumerate(pop):
                canonical = space.canonical(one.X[0])
                if canonical not in seen:
                    seen.add(canonical)
                    fresh.append(number)
            return pop[fresh]

    return New()
