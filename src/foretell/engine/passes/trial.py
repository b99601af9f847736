"""Find the samples in a tensor by running the model again on other batches.

Rules follow the samples through most operations (`engine/samples`). Where no rule applies, the
model is run on the same samples in two orders. If the entries along an axis have been reordered
like the samples, this is the axis of the samples, possibly with other axes folded into it. A table,
which does not depend on the values of the samples, has an axis of samples if its length changes
with the number of samples. If the answer is ambiguous, the samples stay lost.
"""

from collections.abc import Callable, Collection, Mapping
from itertools import count
from typing import Any

import torch
from torch import Tensor

from foretell.batch import Batch, in_rows
from foretell.engine.failures import ModelFailed
from foretell.engine.observer import Observer
from foretell.engine.observers.samples import STRANGE, Found, Lost, Number, Question, Samples
from foretell.engine.operations import RECURRENT, words
from foretell.engine.samples.layout import Layout, Without

__all__ = ["Still", "settle"]

Run = Callable[[Batch, Collection[Number]], Samples]
"""A function that runs the model on a batch, and keeps the prints of the numbered questions."""

Tables = dict[tuple[Number, str], Found | None]
"""The layout of each table, by the number and subject of its question."""

CLOSE = 1e-3
"""The allowed deviation of a reordered sum, relative to its change by the reordering.

In float32, rounding is about 1e-6 of this change; along a wrong axis, the deviation is about 1.
"""


def settle(samples: Samples, run: Run, batch: Batch, tables: Tables) -> None:
    """Answer the open questions if possible; layouts of tables are cached in `tables`."""
    reorder(samples, run, batch)
    resize(samples, run, batch, tables)
    for question in samples.questions[STRANGE]:
        if isinstance(question.found, Lost):
            samples.unseen = (
                samples.unseen or "an operation that cannot be observed returns numbers"
            )


def reorder(samples: Samples, run: Run, batch: Batch) -> None:
    """Find lost samples by running the batch in two orders."""
    lost = {
        n: one for n, one in samples.numbered().items() if one.open and isinstance(one.found, Lost)
    }
    if not lost:
        return
    order = disorder(samples.samples)
    try:
        runs = run(batch, lost), run(in_order(batch, order), lost)
    except ModelFailed:
        return
    alike: dict[Number, Question] = {}
    for number, question in lost.items():
        before, after = (asked_again(samples, number, other) for other in runs)
        if before is None or after is None:
            continue
        found = followed(before.prints, after.prints, order)
        if found is not None:
            question.found, question.open = found, False
        elif unchanged(before, after):
            alike[number] = question
    if alike:
        compare(samples, run, batch, alike)


def compare(samples: Samples, run: Run, batch: Batch, alike: dict[Number, Question]) -> None:
    """Find tensors that do not depend on the values of the samples: constants and tables."""
    try:
        runs = run(batch, alike), run(in_order(batch, [0] * samples.samples), alike)
    except ModelFailed:
        return
    for number, question in alike.items():
        before, after = (asked_again(samples, number, other) for other in runs)
        if before is not None and after is not None and unchanged(before, after):
            question.found, question.open = Without.COMMON, samples.samples in question.shape


def asked_again(samples: Samples, number: Number, other: Samples) -> Question | None:
    """The same question in another run; None if it is about another tensor there."""
    who, place = number
    mine, theirs = samples.questions[who], other.questions[who]
    if len(mine) != len(theirs):
        return None
    one, again = mine[place], theirs[place]
    return again if (one.about, one.shape) == (again.about, again.shape) else None


def followed(
    before: Mapping[int, Tensor], after: Mapping[int, Tensor], order: list[int]
) -> Layout | None:
    """The layout whose entries were reordered like the samples; None if it is ambiguous."""
    found: list[Layout] = []
    for axis, prints in before.items():
        change = float((after[axis] - prints).abs().max())
        if change <= 1e-5 * float(prints.abs().max()):
            continue
        each = len(prints) // len(order)
        for outer in (n for n in range(1, each + 1) if each % n == 0):
            turns = prints.reshape(outer, len(order), -1, 4)[:, order].flatten(0, 2)
            if float((after[axis] - turns).abs().max()) < CLOSE * change:
                found.append(Layout(axis, outer))
    return found[0] if len(found) == 1 else None


def unchanged(before: Question, after: Question) -> bool:
    """Whether the tensor is unchanged up to rounding."""
    pairs = [(prints, after.prints[axis]) for axis, prints in before.prints.items()]
    return bool(pairs) and all(
        float((then - now).abs().max()) <= 1e-5 * float(now.abs().max()) for now, then in pairs
    )


def resize(samples: Samples, run: Run, batch: Batch, tables: Tables) -> None:
    """Find the tables that are as long as the batch, by running a batch of another length."""
    asked = {n: one for n, one in samples.numbered().items() if one.open}
    asked = {n: one for n, one in asked.items() if isinstance(one.found, Without)}
    if any((n, one.about) not in tables for n, one in asked.items()):
        other = 3 if samples.samples == 2 else 2
        try:
            trial = run(in_order(batch, [n % samples.samples for n in range(other)]), ())
        except ModelFailed:
            return
        for (who, n), one in asked.items():
            if len(trial.questions[who]) == len(samples.questions[who]):
                found = grown(one, trial.questions[who][n], samples.samples, other)
                tables[(who, n), one.about] = found
    for number, one in asked.items():
        if (number, one.about) in tables:
            one.found = tables[number, one.about] or one.found
            one.open = False


def grown(one: Question, other: Question, samples: int, number: int) -> Found | None:
    """The layout of a table, from its shapes for two batch sizes; None if it has no samples."""
    if one.about != other.about or len(one.shape) != len(other.shape):
        return Lost("an operation on a table")
    pairs = list(zip(one.shape, other.shape, strict=True))
    axes = [axis for axis, (size, then) in enumerate(pairs) if size != then]
    if not axes:
        return None
    if len(axes) == 1 and pairs[axes[0]] == (samples, number):
        return Layout(axes[0])
    return Lost("an operation on a table")


def disorder(samples: int) -> list[int]:
    """A derangement of the samples that does not commute with reorderings made by models.

    A model may rotate or reverse its samples, so that a row belongs to another sample. With this
    order, such a row does not follow the samples as if it were in its own place.

    >>> disorder(2), disorder(4)
    ([1, 0], [2, 3, 1, 0])
    """
    if samples <= 3:
        return [[0], [1, 0], [1, 0, 2]][samples - 1]
    habits: list[Callable[[int], int]] = [
        lambda n: (n + 1) % samples,
        lambda n: (n + samples // 2) % samples,
        lambda n: samples - 1 - n,
    ]
    for seed in count():
        dice = torch.Generator().manual_seed(seed)
        ring = torch.randperm(samples, generator=dice, device="cpu").tolist()
        order = [0] * samples
        for place, then in zip(ring, ring[1:] + ring[:1], strict=True):
            order[place] = then
        if not any(all(order[f(n)] == f(order[n]) for n in range(samples)) for f in habits):
            return order
    raise AssertionError


def in_order(batch: Batch, order: list[int]) -> Batch:
    """The inputs of these samples, in this order."""
    return Batch(in_rows(batch.inputs, order))


class Still(Observer):
    """Within the block, disable randomness, so that samples differ only by their inputs."""

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation without dropout; random tensors are filled with a constant."""
        plain = name.removesuffix("_")
        if plain in DROPS and args:
            return args[0]
        if plain in PLACES:
            args, kwargs = undropped(plain, args, kwargs)
        out = func(*args, **kwargs)
        if plain in DRAWS and isinstance(out, Tensor) and out.is_floating_point() and out.numel():
            with torch._C.DisableTorchFunction(), torch.no_grad():
                out.fill_(out.flatten()[0].clone())
        return out


def undropped(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of an operation with dropout, changed so that nothing is dropped."""
    place = PLACES[name]
    if name in RECURRENT and not isinstance(args[3], bool):  # a packed sequence
        place += 1
    if len(args) > place:
        return (*args[:place], 0.0, *args[place + 1 :]), kwargs
    return args, {**kwargs, "dropout_p": 0.0}


DROPS = words(
    "dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout feature_alpha_dropout"
)

DRAWS = words(
    "rand randn rand_like randn_like normal uniform bernoulli exponential log_normal cauchy "
    "geometric"
)

PLACES = {
    "multi_head_attention_forward": 10,
    "scaled_dot_product_attention": 4,
    **dict.fromkeys(RECURRENT, 5),
}
"""The position of the dropout rate among the arguments."""
