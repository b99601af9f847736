"""Score one model with any number of proxies, in as few passes as possible."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any, Unpack

import pandas as pd
from torch import Tensor, nn

from foretell.batch import Given, as_batch, check_module
from foretell.checks import as_seed
from foretell.engine.arithmetic import arithmetic
from foretell.engine.caller import default_device, own_settings
from foretell.engine.failures import any_error, complaint_of, is_out_of_memory
from foretell.engine.memory import within_memory
from foretell.engine.modules import named_buffers_of, named_parameters_of
from foretell.engine.passes import found_by
from foretell.engine.plan import DEFAULT, Plan, Request, make_plan
from foretell.engine.subject import Seconds, Subject, Unavailable
from foretell.engine.wrappers import unwrapped
from foretell.errors import ForetellError, OutOfMemory, Undefined
from foretell.losses import resolve_loss
from foretell.proxies import Proxy
from foretell.proxies.quantities import QUANTITIES, STEPS
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of

__all__ = ["Score", "Scores", "score"]


@dataclass(frozen=True)
class Score:
    """The value of a proxy for one model on one batch; if it is undefined, `nan` and the reason.

    >>> print(f"{Score(2.5, 0.1, None):.2f}")
    2.50
    """

    value: float
    seconds: float
    """The wall-clock seconds of the proxy and the steps it needs; a shared step counts in full."""
    why: str | None = None
    """Why the value is undefined; None if it is defined."""

    def __float__(self) -> float:
        return self.value

    def __round__(self, digits: int | None = None) -> float:
        return round(self.value, digits)

    def __format__(self, form: str) -> str:
        """
        >>> f"{Score(0.5, 0.1):.2f}"
        '0.50'
        """
        return format(self.value, form) if form else str(self)

    def __lt__(self, other: "Score | float") -> bool:
        """Compare by value; undefined scores are lower than all others.

        >>> max(Score(0.5, 0), Score(math.nan, 0, "no weights"), Score(-1.0, 0)).value
        0.5
        """
        return self._place() < Score(float(other), 0.0)._place()

    def __gt__(self, other: "Score | float") -> bool:
        return Score(float(other), 0.0)._place() < self._place()

    def _place(self) -> tuple[bool, float]:
        defined = not math.isnan(self.value)
        return defined, self.value if defined else 0.0


class Scores(dict[str, Score]):
    """The scores of one model by proxy, in the order of the request."""

    def table(self) -> pd.DataFrame:
        """One row per proxy: `value`, `seconds`, and `why` the value is undefined.

        >>> Scores(snip=Score(2.5, 0.1)).table()["value"].to_dict()
        {'snip': 2.5}
        """
        rows = [(one.value, one.seconds, one.why or "") for one in self.values()]
        index = pd.Index(list(self), name="proxy", dtype="str")
        return pd.DataFrame(rows, index, ["value", "seconds", "why"])

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.table().to_html()


@own_settings()
def score(
    model: nn.Module,
    batch: Given,
    proxies: Request = DEFAULT,
    *,
    seed: int = 0,
    scoring: ScoreSettings = ScoreSettings(),
    **choices: Unpack[ScoreChoices],
) -> Scores:
    """Score a model with each proxy; for most proxies, higher is better.

    Returns a dict that maps the name of each proxy to a `Score`; its `table()` is a DataFrame.
    `proxies` is one name, several
    names, or a dict that maps names to settings, such as `{"jacob_cov": {"epsilon": 1e-4}}`; "all"
    stands for all registered proxies. By default, they are the six proxies of arXiv:2101.08134,
    params and flops.

    `batch` is a pair (inputs, targets), a `Batch`, a dict of inputs and "labels", a DataLoader (its
    first batch), or a Dataset (its first 64 samples). It is moved to the model's device, and its
    floating-point tensors are converted to the model's data type. The model is run in training
    mode, as it would be during training; afterwards, it is bit for bit the same as before.

    `seed` determines everything that is drawn at random, such as the masks of dropout; the same
    seed gives the same score. `scoring` has the settings; each field of `ScoreSettings` (`loss`,
    `layers`, `batch_norm`, `micro_batch`, `precision`, `faster`, `verify`) can also be given as a
    keyword argument, which takes precedence.

    Raises ForetellError if nothing can be scored, because an argument is wrong or the model does
    not run on the batch, and OutOfMemory, with a micro-batch that fits, if the memory does not
    suffice. Otherwise the scores are independent of each other: a score that is undefined for this
    model, or that needs a pass which the model cannot run, is `nan` with the reason in `why`.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> scores = score(model, (torch.ones(3, 4), torch.tensor([0, 1, 0])), ["params", "jacob_cov"])
    >>> scores["params"].value
    10.0
    >>> scores["jacob_cov"].value, scores["jacob_cov"].why
    (-199978.4..., None)
    """
    plan, settings = make_plan(proxies), settings_of(scoring, choices)

    def scored() -> Scores:
        subject = as_subject(model, batch, seed, settings)
        if subject.device.type == "meta" and not plan.wanted() <= OF_SHAPES:
            raise ForetellError(NO_VALUES)
        with arithmetic(subject.device, tf32=subject.tf32), default_device(subject.device):
            return Scores(run(plan, subject))

    try:
        return within_memory(scored, too_large)
    except ForetellError:
        raise
    except any_error() as error:  # for example by a property of the model
        complaint = complaint_of(error)
        raise ForetellError(f"{type(model).__name__} cannot be scored ({complaint})") from error


OF_SHAPES = {"parameters", "forward_flops"}
"""The quantities that do not depend on the values of weights and inputs."""

NO_VALUES = (
    "the model is on the meta device, so its weights have no values: only params and flops are "
    "defined; build it on the CPU or a GPU"
)


NO_GRADIENTS = (
    "the model was built within torch.inference_mode, so its weights can have no gradients; build "
    "it outside, or within torch.no_grad"
)


def too_large() -> OutOfMemory:
    """The error raised if memory runs out outside the passes over the batch."""
    return OutOfMemory(
        "out of memory outside the passes, while storing results of all samples of the batch; give "
        "a smaller batch or use a device with more memory"
    )


def as_subject(
    model: object,
    batch: Given,
    seed: int = 0,
    scoring: ScoreSettings = ScoreSettings(),
) -> Subject:
    """Check the model and the batch, and combine them with the settings into a `Subject`."""
    module = unwrapped(check_module(model))
    checked = as_batch(batch, own_loss=scoring.loss == "own")
    parameters = [parameter for _, parameter in named_parameters_of(module)]
    own = [*parameters, *(buffer for _, buffer in named_buffers_of(module))]
    device = own[0].device if own else None
    kinds = {tensor.dtype for tensor in parameters if tensor.is_floating_point()}
    kind = kinds.pop() if len(kinds) == 1 else None
    if any(tensor.is_inference() for tensor in own if not nn.parameter.is_lazy(tensor)):
        raise ForetellError(NO_GRADIENTS)
    checked = checked.each(lambda t: t.clone() if t.is_inference() else t)
    checked = checked.each(lambda t: t.to(device, kind if t.is_floating_point() else None))
    return Subject(
        module,
        checked,
        resolve_loss(scoring.loss),
        as_seed("seed", seed),
        scoring.layers,
        scoring.batch_norm,
        scoring.micro_batch,
        scoring.precision == "tf32",
        scoring.faster,
        scoring.verify,
    )


def run(plan: Plan, subject: Subject) -> dict[str, Score]:
    """Run the passes in turn; after each one, compute the scores that are ready and free memory."""
    seconds: Seconds = {}
    found: dict[str, Any] = {}
    scores: dict[str, Score] = {}
    for name in plan.passes:
        wanted = {need for need in plan.wanted() if STEPS[QUANTITIES[need].step].of == name}
        found |= found_by(name, subject, wanted, seconds)
        waiting = [proxy for proxy in plan.proxies if proxy.name not in scores]
        for proxy in waiting:
            if all(need in found for need in proxy.needs):
                scores[proxy.name] = one_score(plan, proxy, found, seconds)
        needed = {n for p in waiting if p.name not in scores for n in p.needs}
        found = {need: value for need, value in found.items() if need in needed}
    if any(one.why for one in scores.values()):
        scores = with_cause(scores, subject.model)
    return {proxy.name: scores[proxy.name] for proxy in plan.proxies}


def with_cause(scores: dict[str, Score], model: nn.Module) -> dict[str, Score]:
    """The scores, with a better reason for the undefined ones if a parameter is not finite."""
    broken = [name for name, p in named_parameters_of(model) if not is_finite(p)]
    if not broken:
        return scores
    why = f"the model's parameter {broken[0]} contains values that are NaN or infinite"
    return {name: replace(one, why=why) if one.why else one for name, one in scores.items()}


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite, or their type does not tell, as that of 8-bit floats."""
    try:
        return bool(tensor.isfinite().all())
    except (RuntimeError, NotImplementedError):
        return True


def one_score(plan: Plan, proxy: Proxy, found: dict[str, Any], seconds: Seconds) -> Score:
    """The value of the proxy, or `nan` and the reason."""
    start = time.perf_counter()
    value, why = math.nan, None
    missing = [found[need] for need in proxy.needs if isinstance(found[need], Unavailable)]
    if missing:
        why = missing[0].why
    else:
        try:
            value = as_float(plan.apply(proxy, found))
        except ArithmeticError as error:
            why = str(error)
        except any_error() as error:
            if is_out_of_memory(error):
                raise
            why = f"the proxy raised {complaint_of(error)}"
    if why is None and not math.isfinite(value):
        value, why = math.nan, NOT_FINITE[math.isnan(value)]
    own = time.perf_counter() - start
    return Score(value, own + sum(seconds.get(s, 0.0) for s in plan.steps_of(proxy)), why)


NOT_FINITE = {
    True: "the score is nan: one of its terms is undefined for this model, or overflowed",
    False: "the score is infinite: it exceeds the range of its floating-point type",
}


def as_float(value: Tensor | float) -> float:
    """The result of a proxy as a float. Raises Undefined unless it is a single number."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise Undefined(f"the proxy returned shape {list(value.shape)}; expected a single number")
    return float(value)
