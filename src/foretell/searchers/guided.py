"""Train the networks that a Gaussian process prefers, which learns how far to trust each score.

The prior mean of a network's result is the prediction of a label-free ensemble of scores
(`foretell.statistics.ensemble`). A Gaussian process on the scores and the options of its
architecture learns from the trainings how the results deviate from it. The network with the largest
expected improvement is trained next (Jones et al. 1998, doi:10.1023/A:1008306431147). ProxyBO (Shen
et al. 2023, arXiv:2110.10423) combines scores with Bayesian optimisation in another way.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.searchers.process import Process, improvement, normal_scores
from foretell.searchers.searcher import Question, distinct
from foretell.spaces.space import Arch, Space
from foretell.statistics.ensemble import ensemble
from foretell.statistics.representative import relative_ranks
from foretell.statistics.sample import Floats

__all__ = ["Guided", "Scores"]

Scores = Callable[[Arch], Mapping[str, float]]
"""A function that returns all scores of a scored architecture by name; higher is better, nan if
undefined."""

TRUST = 0.6
"""The correlation of the ensemble and the results on a typical task: a network that is one standard
deviation better by the ensemble is expected to be better by this many."""

FIRST = (0.98, 0.5, 0.9)
"""The quantiles of the ensemble from which the first networks are taken. The network that is ranked
first is often an outlier, and a spread shows whether the ensemble ranks networks correctly."""


class Guided:
    """Trains the networks from which a Gaussian process on scores and architectures expects most.

    The pool consists of `warmup` random networks, which are all scored first. If `warmup` is 0, it
    consists of `candidates` random networks, and the process knows only their options. Networks
    whose results are passed to `tell` join the pool. When all are trained, as many new ones are
    added. `scores` returns all scores of an architecture; without it, the only score is the one
    passed to `tell`. Results may be noisy; an undefined one counts as the worst.

    >>> from foretell.spaces import NASBench201
    >>> search = Guided(NASBench201(), seed=0, warmup=50)
    >>> for question in search.ask(50):
    ...     search.tell(question, question.arch.count(3))  # the number of 3x3 convolutions
    >>> [question.arch.count(3) for question in search.ask(3)]
    [3, 1, 3]
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        warmup: int = 0,
        candidates: int = 1_000,
        scores: Scores | None = None,
    ) -> None:
        """Raises ForetellError for a setting out of range."""
        if warmup < 0 or candidates < 1:
            raise ForetellError(
                f"warmup is {warmup} and candidates is {candidates}; expected a warmup of at least "
                "0, and candidates of at least 1"
            )
        self._space, self._scored, self._scores = space, warmup > 0, scores
        self._stream, self._step = distinct(space, seed), warmup or candidates
        self._pool: dict[Arch, Arch] = {}  # by canonical form
        self._told: dict[Arch, float] = {}  # scores, by canonical form
        self._results: dict[Arch, float] = {}  # of trainings, by canonical form, in their order
        self._extend()

    def ask(self, n: int = 1) -> list[Question]:
        """Request the scores of the pool, then networks with the largest expected improvement."""
        if self._scored and (unscored := [name for name in self._pool if name not in self._told]):
            return [Question(self._pool[name], "score") for name in unscored[: max(n, 0)]]
        left = len(self._pool) - len(self._results)
        return [Question(arch, "train") for arch in islice(self._wanted(), max(min(n, left), 0))]

    def tell(self, question: Question, value: float) -> None:
        """Record an answer; for isomorphic networks, only the first answer counts."""
        canonical = self._space.canonical(question.arch)
        if question.kind == "score":
            self._told.setdefault(canonical, value)
            return
        self._results.setdefault(canonical, -math.inf if math.isnan(value) else value)
        self._add({canonical: question.arch})
        if len(self._results) == len(self._pool):
            self._extend()

    def _extend(self) -> None:
        """Add the next random networks to the pool."""
        fresh = ((name, arch) for arch, name in self._stream if name not in self._pool)
        self._add(dict(islice(fresh, self._step)))

    def _add(self, networks: Mapping[Arch, Arch]) -> None:
        """Add networks to the pool; everything that is derived from the pool is computed anew."""
        if networks.keys() - self._pool.keys():
            self._pool |= networks
            self.__dict__.pop("_process", None)

    def _wanted(self) -> Iterator[Arch]:
        """The networks to train next; each assumes that those before it meet expectations."""
        places = {name: place for place, name in enumerate(self._pool)}
        rows = np.array([places[name] for name in self._results], dtype=int)
        results = np.array(list(self._results.values()))
        values, archs = normal_scores(results), list(self._pool.values())
        kernel = self._process.kernel(rows, results)
        while True:
            mean, error = self._process.predicted(rows, values, kernel)
            best = mean[rows].max() if len(rows) else 0.0
            worth = improvement(mean, error, best).round(9)
            if self._scored and len(rows) < len(FIRST):
                worth = -np.abs(relative_ranks(self._process.prior) - FIRST[len(rows)])
            worth[rows] = -np.inf
            row = int(worth.argmax())
            yield archs[row]
            rows, values = np.append(rows, row), np.append(values, mean[row])

    @cached_property
    def _process(self) -> Process:
        """The Gaussian process on the scored pool."""
        archs = list(self._pool.values())
        options = one_hot(archs)
        if not self._scored:
            return Process(options, np.zeros(len(archs)))
        rows = [self._scores_of(name, arch) for name, arch in self._pool.items()]
        table = pd.DataFrame(rows).astype(float)
        ranks = table.apply(lambda one: relative_ranks(one.to_numpy()))
        each = np.stack([normal_scores(table[name].to_numpy()) for name in table], axis=1)
        features = np.concatenate([each / math.sqrt(each.shape[1]), options], axis=1)
        prior = normal_scores(np.asarray(ensemble(ranks), dtype=np.float64))
        return Process(features, TRUST * prior)

    def _scores_of(self, canonical: Arch, arch: Arch) -> Mapping[str, float]:
        if self._scores is None:
            return {"score": self._told[canonical]}
        return self._scores(arch)


def one_hot(archs: list[Arch]) -> Floats:
    """The one-hot options of each architecture, centred and scaled to a mean squared norm of 1.

    >>> one_hot([(0, 2), (1, 2)]).round(2).tolist()
    [[0.71, -0.71, 0.0], [-0.71, 0.71, 0.0]]
    """
    pairs = sorted({pair for arch in archs for pair in enumerate(arch)})
    number = {pair: column for column, pair in enumerate(pairs)}
    found = np.zeros((len(archs), len(pairs)))
    for row, arch in enumerate(archs):
        found[row, [number[pair] for pair in enumerate(arch)]] = 1
    found -= found.mean(axis=0)
    return np.asarray(found / max(math.sqrt((found**2).sum(axis=1).mean()), 1e-12))
