"""Zero-cost warmup and move proposal for the define-by-run studies of Optuna.

The two methods of Abdelfattah et al. 2021, arXiv:2101.08134, work with any sampler of Optuna
(Akiba et al. 2019, arXiv:1907.10902). The search space need not be declared: the user's function is
called with drafts of a trial, which record the parameters that it requests.
"""

import copy
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Unpack

import pandas as pd
import torch

from foretell.batch import Batch, as_batch
from foretell.checks import as_function, as_integer, as_seed, optional, wrong
from foretell.engine.failures import any_error, complaint_of
from foretell.engine.plan import Request, make_plan
from foretell.errors import ForetellError, Undefined
from foretell.names import extra
from foretell.proxies import PROXIES
from foretell.rankings import find_ranking, is_ranking, places, scores_for
from foretell.scoring.score import score as score_model
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of
from foretell.seeds import derived_seed, own_randomness

extra("optuna", "optuna")

from optuna import Study  # noqa: E402
from optuna.distributions import (  # noqa: E402
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning  # noqa: E402
from optuna.logging import get_logger  # noqa: E402
from optuna.samplers import (  # noqa: E402
    BaseSampler,
    PartialFixedSampler,
    RandomSampler,
)
from optuna.trial import (  # noqa: E402
    BaseTrial,
    FixedTrial,
    FrozenTrial,
    TrialState,
    create_trial,
)

__all__ = ["Candidate", "ZeroCostSampler"]

PATIENCE = 100
"""The space counts as exhausted after this many consecutive draws of known candidates."""

PREFIX = "foretell:"
"""Precedes the name of a score among the user attributes of a trial."""
OWN = "score"
"""The name of the score by a function of the user."""

Space = dict[str, BaseDistribution]


@dataclass(frozen=True)
class Candidate:
    """The parameters that `define` requested from one draft trial, and the score of its model."""

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    value: float
    """The score; higher is better, nan if it is undefined."""
    why: str | None = None
    """Why the value is undefined; None if it is defined."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Every score by name, as the proxies define it; empty for a function of your own."""


@dataclass(frozen=True)
class Plan:
    """The suggestions for one trial: those of the candidate, and those of the sampler."""

    candidate: Candidate
    space: Space
    drawn: dict[str, Any] | None
    """The values that the sampler drew in its relative space; None if not drawn yet."""


class Draft(FixedTrial):
    """A trial that is never reported to the study and records what the sampler suggests."""

    def __init__(self, sampler: BaseSampler, study: Study, trial: FrozenTrial) -> None:
        super().__init__({}, trial.number)
        self._sampler = sampler
        self._study = study
        self._trial = copy.copy(trial)  # collects the suggestions for this draft
        self._trial.params = dict(trial.params)
        self._trial.distributions = dict(trial.distributions)
        self.space = sampler.infer_relative_search_space(study, self._trial)
        self.drawn = sampler.sample_relative(study, self._trial, self.space)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._trial.params:
            self._trial.params[name] = self._draw(name, distribution)
            self._trial.distributions[name] = distribution
        self.params[name] = self._trial.params[name]
        self.distributions[name] = distribution
        return self.params[name]

    def _draw(self, name: str, distribution: BaseDistribution) -> Any:
        if distribution.single():
            if isinstance(distribution, CategoricalDistribution):
                return distribution.choices[0]
            assert isinstance(distribution, IntDistribution | FloatDistribution)
            return distribution.low
        if name in self.drawn:
            value = self.drawn[name]
            if distribution._contains(distribution.to_internal_repr(value)):
                return value
        return self._sampler.sample_independent(self._study, self._trial, name, distribution)


class ZeroCostSampler(BaseSampler):
    """Uses scores of untrained networks to choose among the suggestions of any Optuna sampler.

    - Warmup: `warmup` random candidates are scored, and the `first` best ones are suggested, in
      descending order.
    - Moves: afterwards, the sampler makes `moves` suggestions per trial, and the best-scored one is
      used.

    Trial number t gets the t-th best candidate of the warmup, not counting enqueued trials. The
    candidates depend only on `seed`: workers that share a storage do not have to communicate, and
    a resumed study does not repeat the warmup. As usual, the sampler learns from all finished
    trials, and suggests the parameters that `define` does not request, such as a learning rate.

    Candidates with an undefined score, or whose model cannot be built, come last. The scores of a
    trial are among its user attributes, `foretell:NAME`.

    >>> import optuna
    >>> from torch import nn
    >>> def define(trial):
    ...     width = trial.suggest_int("width", 1, 3)
    ...     return nn.Sequential(nn.Linear(2, width), nn.Linear(width, 2))
    >>> batch = (torch.eye(2), torch.tensor([0, 1]))
    >>> sampler = ZeroCostSampler(RandomSampler(seed=0), define, batch, "params", first=3)
    >>> study = optuna.create_study(sampler=sampler)
    >>> [study.ask().suggest_int("width", 1, 3) for _ in range(3)]
    [3, 2, 1]
    """

    def __init__(
        self,
        sampler: BaseSampler,
        define: Callable[[BaseTrial], Any],
        batch: Batch | Sequence[Any] | None = None,
        proxy: str | Mapping[str, Mapping[str, Any]] = "synflow",
        *,
        score: Callable[[Any], float] | None = None,
        scoring: ScoreSettings = ScoreSettings(),
        warmup: int = 100,
        first: int | None = None,
        moves: int = 1,
        seed: int = 0,
        **choices: Unpack[ScoreChoices],
    ) -> None:
        """`define` takes a trial and returns the model that the objective trains.

        - `batch`: the minibatch on which `proxy` scores a model, as for `foretell.score`;
          `proxy` may have settings: `{"nwot": {...}}`. It may also be a ranking, such as "vote" or
          "synflow+jacob_cov", of the pool in the warmup and of the suggestions in a move.
        - `score`: instead of a batch, a function that scores whatever `define` returns; higher is
          better.
        - `scoring`: the settings for `proxy`; each field of `ScoreSettings`, such as `loss`, may
          also be given by name, and then takes precedence.
        - `first`: how many of the `warmup` candidates are suggested, by default 10.
        - `warmup=0` turns off the warmup, and `moves=1` the scoring of moves.
        - `seed` determines the candidates, and the weights that `define` draws for scoring.

        Raises ForetellError for invalid arguments.
        """
        settings = settings_of(scoring, choices)
        if not isinstance(sampler, BaseSampler):
            raise wrong("sampler", sampler, "a sampler of Optuna, such as TPESampler()")
        as_function("define", define, "a function that takes a trial and returns the model")
        score = optional(as_function)("score", score, "a function of what `define` returns")
        warmup, seed = as_integer("warmup", warmup, 0), as_seed("seed", seed)
        first = optional(as_integer)("first", first, 0)
        moves = as_integer("moves", moves)
        if (batch is None) == (score is None):
            given = "neither batch nor score is" if score is None else "batch and score are both"
            raise ForetellError(
                f"{given} given; give a batch for the proxy, or a function as score"
            )
        first = min(10, warmup) if first is None else first
        if not (first <= warmup and (first or not warmup)):
            raise ForetellError(
                f"warmup is {warmup} and first is {first}; expected first from 1 to warmup, or "
                "warmup=0 for no warmup"
            )
        self._sampler = sampler
        self._define = define
        self._scorer = by_function(score) if score else by_proxy(batch, proxy, seed, settings)
        self._warmup = warmup
        self._first = first
        self._moves = moves
        self._seed = seed
        self._best: list[Candidate] | None = None  # the best of the warmup, once it is scored
        self._scored: dict[str, Candidate] = {}
        self._earlier: dict[str, Candidate] = {}  # from the trials of the studies `_restored`
        self._restored: set[str] = set()
        self._plans: dict[tuple[str, int], Plan] = {}  # Optuna calls the sampler twice per trial
        self._lock = threading.Lock()

    @property
    def scored(self) -> list[Candidate]:
        """All candidates scored so far, the best first.

        They are the candidates of this process, and those that earlier became trials, which are
        read from the storage of the study.
        """
        return in_order(self._scorer.valued([*(self._earlier | self._scored).values()]))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """The parameters that `sample_relative` will suggest, of the sampler and of the plan."""
        plan = self._plan(study, trial)
        if plan is not None:
            for name, value in plan.candidate.scores.items():
                if math.isfinite(value):
                    study._storage.set_trial_user_attr(trial._trial_id, f"{PREFIX}{name}", value)
        if plan is None:
            return self._sampler.infer_relative_search_space(study, trial)
        self._plans[study.study_name, trial.number] = plan
        return {**plan.space, **plan.candidate.distributions}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        """The parameters of the plan, and others that the sampler draws jointly."""
        plan = self._plans.pop((study.study_name, trial.number), None)
        if plan is None:
            return self._sampler.sample_relative(study, trial, search_space)
        drawn = plan.drawn
        if drawn is None:
            drawn = self._sampler.sample_relative(study, trial, plan.space)
        both = {**drawn, **plan.candidate.params}
        return {name: value for name, value in both.items() if name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The sampler's suggestion for a parameter that is not in the plan."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Forward the call to the sampler."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forward the call to the sampler."""
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Reseed the sampler; the warmup stays the same in all workers."""
        self._sampler.reseed_rng()

    def _plan(self, study: Study, trial: FrozenTrial) -> Plan | None:
        """The plan for this trial; None if the sampler alone decides."""
        if enqueued(trial):
            return None
        with self._lock:
            self._restore(study)
            rank = self._rank(study, trial)
            if rank < self._first and rank < len(best := self._warm_up(study)):
                space = self._sampler.infer_relative_search_space(study, trial)
                return Plan(best[rank], space, None)
            return self._move(study, trial) if self._moves > 1 else None

    def _rank(self, study: Study, trial: FrozenTrial) -> int:
        """The number of earlier trials that were not enqueued."""
        return sum(t.number < trial.number and not enqueued(t) for t in all_trials(study))

    def _warm_up(self, study: Study) -> list[Candidate]:
        """The best of the random candidates, which are scored at the first call."""
        if self._best is None:
            seed = derived_seed(self._seed, "warmup") % 2**32
            sampler = keeping_fixed(self._sampler, RandomSampler(seed))
            pool: dict[str, Candidate] = {}
            misses, start = 0, time.perf_counter()
            while len(pool) < self._warmup and misses < PATIENCE:
                draft = Draft(sampler, study, create_trial(state=TrialState.RUNNING))
                key, candidate = self._evaluate(draft, derived_seed(self._seed, "weights"))
                misses = misses + 1 if key in pool else 0
                pool[key] = candidate
            best = in_order(self._scorer.valued([*pool.values()]))
            if best[0].why is not None:
                raise ForetellError(
                    f"none of the {len(best)} candidates of the warmup has a defined score (the "
                    f"first: {next(iter(pool.values())).why}); check define and the proxy, or "
                    "give warmup=0"
                )
            self._best = best[: self._first]
            get_logger("optuna.foretell").info(
                f"Scored {len(pool)} candidates by {self._scorer.by} in "
                f"{time.perf_counter() - start:.1f} s; the best {len(self._best)} come first."
            )
        return self._best

    def _move(self, study: Study, trial: FrozenTrial) -> Plan:
        """The best-scored suggestion of the sampler, preferably one that no trial has used."""
        tried = {key_of(t.params) for t in all_trials(study) if t.number != trial.number}
        drafts, keys, found = [], [], []
        for move in range(self._moves):
            drafts.append(Draft(self._sampler, study, trial))
            seed = derived_seed(self._seed, "move", trial.number, move)
            key, candidate = self._evaluate(drafts[-1], seed)
            keys.append(key)
            found.append(candidate)
        plans = [
            (key in tried, *placed(candidate), move, Plan(candidate, draft.space, draft.drawn))
            for move, (key, candidate, draft) in enumerate(
                zip(keys, self._scorer.valued(found), drafts, strict=True)
            )
        ]
        return min(plans, key=lambda entry: entry[:-1])[-1]

    def _evaluate(self, draft: Draft, seed: int) -> tuple[str, Candidate]:
        """The key of the parameters that `define` requests from the draft, and the candidate."""
        scores: Mapping[str, float] = {}
        why = None
        with own_randomness(seed, torch.device("cpu")):
            try:
                defined = self._define(draft)
                key = key_of(draft.params)
                if key in self._scored:
                    return key, self._scored[key]
                scores = self._scorer.measure(defined)
                why = self._scorer.why(scores)
            except (
                any_error()
            ) as error:  # the user's code may raise anything for an impossible model
                why = complaint_of(error)
        key, value = key_of(draft.params), math.nan if why else self._scorer.value(scores)
        candidate = Candidate(draft.params, draft.distributions, value, why, scores)
        return key, self._scored.setdefault(key, candidate)

    def _restore(self, study: Study) -> None:
        """Read the scores of earlier trials from their user attributes, once for a study."""
        if study.study_name in self._restored:
            return
        self._restored.add(study.study_name)
        for trial in all_trials(study):
            scores = scores_of(trial)
            if trial.params and all(name in scores for name in self._scorer.names):
                value, key = self._scorer.value(scores), key_of(trial.params)
                candidate = Candidate(trial.params, trial.distributions, value, None, scores)
                self._earlier[key] = candidate

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())


@dataclass(frozen=True)
class Scorer:
    """A function that scores models, and the score or ranking by which candidates are compared."""

    measure: Callable[[Any], Mapping[str, float]]
    """The scores of a model by name."""
    by: str
    """The score to compare by, or a ranking of several."""
    names: tuple[str, ...]
    """The names of the scores that are needed to compare models."""

    def value(self, scores: Mapping[str, float]) -> float:
        """The score, higher is better; nan for a ranking, which `valued` compares by."""
        if len(self.names) > 1 or is_ranking(self.by):
            return math.nan
        better = self.by not in PROXIES or PROXIES[self.by].higher_is_better
        return scores[self.by] if better else -scores[self.by]

    def why(self, scores: Mapping[str, float]) -> str | None:
        """The reason why a model cannot be compared, if no score needed for that is finite."""
        found = [scores[name] for name in self.names]
        return None if any(map(math.isfinite, found)) else f"the score is {found[0]}"

    def valued(self, candidates: list[Candidate]) -> list[Candidate]:
        """The candidates; if `by` is a ranking, with their negated ranks in this pool as values."""
        known = {i: one.scores for i, one in enumerate(candidates) if one.why is None}
        if not is_ranking(self.by) or not known:
            return candidates
        table = pd.DataFrame.from_dict(known, orient="index")
        place = places(find_ranking(self.by, self.names), table)
        return [
            replace(one, value=-float(place[i])) if i in known else one
            for i, one in enumerate(candidates)
        ]


def by_function(score: Callable[[Any], float]) -> Scorer:
    """Scores models by a function of the user, under the name `score`."""
    return Scorer(partial(own_score, score), OWN, (OWN,))


def own_score(score: Callable[[Any], float], defined: Any) -> Mapping[str, float]:
    """The score of a model by a function of the user, by name."""
    return {OWN: float(score(defined))}


def by_proxy(
    batch: Any,
    proxy: str | Mapping[str, Mapping[str, Any]],
    seed: int,
    scoring: ScoreSettings,
) -> Scorer:
    """Scores models by a proxy or a ranking. Raises ForetellError for wrong arguments."""
    ranked = isinstance(proxy, str) and is_ranking(proxy)
    if ranked and not scores_for(str(proxy)):
        raise ForetellError(f"proxy is {proxy!r}; name its scores, as in {proxy}:snip,flops")
    asked = scores_for(str(proxy)) if ranked else proxy
    names = tuple(make_plan(asked, "proxy").names)
    if len(names) != 1 and not ranked:
        raise ForetellError(
            f"proxy is {', '.join(names)}; give a single proxy, or a ranking such as "
            f"{'+'.join(names)}"
        )
    measure = partial(scores_by, batch=as_batch(batch), proxies=asked, seed=seed, scoring=scoring)
    return Scorer(measure, str(proxy) if ranked else names[0], names)


def scores_by(
    model: Any, batch: Batch, proxies: Request, seed: int, scoring: ScoreSettings
) -> Mapping[str, float]:
    """The scores of the model; raises Undefined if none is defined."""
    found = score_model(model, batch, proxies, seed=seed, scoring=scoring)
    reasons = [one.why for one in found.values() if one.why is not None]
    if len(reasons) == len(found):
        raise Undefined(reasons[0])
    return {name: one.value for name, one in found.items()}


def scores_of(trial: FrozenTrial) -> dict[str, float]:
    """The scores among the user attributes of a trial."""
    attributes = trial.user_attrs.items()
    return {k.removeprefix(PREFIX): float(v) for k, v in attributes if k.startswith(PREFIX)}


def keeping_fixed(sampler: BaseSampler, other: BaseSampler) -> BaseSampler:
    """The sampler `other`, with the same fixed parameters as `sampler`, if it has any."""
    if not isinstance(sampler, PartialFixedSampler):
        return other
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the user has seen it already
        return PartialFixedSampler(
            sampler._fixed_params, keeping_fixed(sampler._base_sampler, other)
        )


def all_trials(study: Study) -> list[FrozenTrial]:
    """All trials of the study; Hyperband would show a sampler only those of one bracket."""
    return Study.get_trials(study, deepcopy=False)


def enqueued(trial: FrozenTrial) -> bool:
    """Whether the parameters of this trial were fixed by the user or by a retry."""
    return "fixed_params" in trial.system_attrs


def key_of(params: Mapping[str, Any]) -> str:
    """A text that identifies the parameters; True and 1 differ."""
    return repr(sorted((name, repr(value)) for name, value in params.items()))


def placed(candidate: Candidate) -> tuple[bool, float]:
    """A sort key that places the highest score first and nan last."""
    return (True, 0.0) if math.isnan(candidate.value) else (False, -candidate.value)


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates, best first and undefined last; equal ones in the order of drawing."""
    return sorted(candidates, key=placed)
