"""Follow the samples of the batch from the inputs through all operations.

Other observers ask where the samples are in a tensor, such as the output of a layer or the input of
an activation: along which axis, and in which order. If no rule gives the answer, the question stays
open, and `engine/passes/trial.py` runs the model again to answer it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from foretell.batch import Batch, tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.failures import refuse_nested
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import note_comparison, plain_name
from foretell.engine.operations import in_place, words
from foretell.engine.samples.layout import Call, Layout, Without
from foretell.engine.samples.rules import ONTO_FIRST, moved

__all__ = [
    "ASKING",
    "STRANGE",
    "VIEWS",
    "Found",
    "Lost",
    "Number",
    "Question",
    "Samples",
    "Waiting",
]

Number = tuple[str, int]
"""The identity of a question: its asker, and the number of earlier questions of the same asker."""

SHAPED = words("type_as to view_as reshape_as expand_as")
"""Operations whose result has the layout of their first argument."""

ASKING = words("size dim numel stride is_floating_point is_contiguous __len__ element_size")
"""Operations that do not return a tensor."""

VIEWS = words("T H mT mH data real imag grad")
"""Properties that return tensors."""

STRANGE = "unobserved"
"""The asker of whether a tensor of unknown origin is the same for all samples."""

MADE = words("new_zeros new_ones new_full new_empty new_tensor")
"""Operations that use only the type of the given tensor."""


@dataclass(frozen=True)
class Lost:
    """The samples are lost: they cannot be followed through the operation `by`."""

    by: str


Found = Layout | Without | Lost


@dataclass(eq=False)
class Question:
    """The question where the samples are in a tensor, with the answer if it is known."""

    about: str
    shape: tuple[int, ...]
    samples: int
    found: Found
    open: bool
    """Whether the rules do not give the answer."""
    prints: dict[int, Tensor] = field(default_factory=dict)
    """For each possible axis of the samples, four sums over all other axes, `[size, 4]`."""
    is_complex: bool = False

    @property
    def layout(self) -> Layout | None:
        """The layout of the samples; None if the tensor has none or they are lost."""
        return self.found if isinstance(self.found, Layout) and not self.open else None

    @property
    def lost(self) -> str:
        """The operation through which the samples are lost; empty if they are not lost."""
        if isinstance(self.found, Lost):
            return self.found.by
        return "an operation on a table" if self.open else ""

    def why_not(self, what: str, channel_axes: Sequence[int]) -> str:
        """The reason why the tensor has no such channels per sample; empty if it has."""
        tensor, layout = f"{what}, of shape {list(self.shape)},", self.layout
        if self.is_complex:
            return f"{tensor} is complex, and only that of real channels is defined"
        if self.lost:
            return self.undivided(what, "layer")
        if layout is None:
            return f"{tensor} is computed from all samples at once, so none has a part of it"
        if self.samples > 1 and layout.axis in channel_axes:
            return f"{tensor} has samples and channels along the same axis"
        if layout.joined:
            return (
                f"{tensor} consists of {layout.outer} tensors joined along the samples, and "
                "whether it is one output or several is not defined; run the layer on each in turn"
            )
        return ""

    def undivided(self, what: str, each: str) -> str:
        """The message that the samples of the tensor are lost."""
        return (
            f"{what}, of shape {list(self.shape)}, cannot be divided among the {self.samples} "
            f"samples, which are not followed through {self.lost}; keep the samples along "
            f"one axis in each {each}"
        )

    def rows(self, tensor: Tensor, channel_axes: Sequence[int]) -> Tensor:
        """`[samples, positions, channels]` of a tensor of this shape, if `why_not` is empty."""
        assert self.layout is not None
        return self.layout.rows(tensor, self.samples, channel_axes)


class Waiting:
    """Keeps tensors until the axis of their samples is known."""

    def __init__(self) -> None:
        self._kept: list[tuple[Callable[[Tensor], None], Tensor]] = []

    def take(self, asked: Question, x: Tensor, take: Callable[[Tensor], None]) -> None:
        """Call `take` with the tensor, or with a copy once the question is answered."""
        if asked.open:
            self._kept.append((take, x.clone()))
        else:
            take(x)

    def settle(self) -> None:
        """Pass the kept tensors to their functions."""
        for take, x in self._kept:
            take(x)
        self._kept.clear()


class Samples(Observer):
    """Within the block, follow the samples of the inputs through the model.

    `held` returns the ids of the tensors that the model holds while it runs.
    """

    def __init__(
        self, fed: Batch, held: Callable[[], set[int]], printing: Collection[Number] | None = None
    ) -> None:
        """`printing` lists the questions whose prints are kept; None if the run is not a trial."""
        super().__init__()
        self.samples = len(fed)
        self.questions: dict[str, list[Question]] = defaultdict(list)
        """The questions by asker, in order, so that no answer depends on other askers."""
        self.unseen = ""
        """The reason why some operations may be unobserved; empty if all are observed."""
        self.printing = printing
        self.route = 0
        """A hash of the sequence of weights used so far."""
        self._held = cache(held)
        self._found = ByTensor[Found]()
        shared = {id(tensor) for tensor in fed.shared}
        for tensor in tensors(fed.inputs):
            whole = self.samples == 1 or id(tensor) in shared
            self._found[tensor] = Layout(0) if whole else Lost("a list of inputs")

    @property
    def on_trial(self) -> bool:
        """Whether the model runs only to answer questions, without computing quantities."""
        return self.printing is not None

    def numbered(self) -> dict[Number, Question]:
        """All questions by number."""
        return {(who, n): one for who, all_ in self.questions.items() for n, one in enumerate(all_)}

    def ask(self, tensor: Tensor, about: str, who: str) -> Question:
        """Ask where the samples are in a tensor; the answer may be known only later."""
        found, shape = self.of(tensor), tuple(tensor.shape)
        as_long = any(size % self.samples == 0 for size in shape)
        unsure = isinstance(found, Lost) or (found is Without.COMMON and as_long)
        unsure = unsure and not is_functorch_wrapped_tensor(tensor)
        question = Question(
            about, shape, self.samples, found, unsure, is_complex=tensor.is_complex()
        )
        return self._asked(who, question, tensor)

    def _asked(self, who: str, question: Question, tensor: Tensor) -> Question:
        asked = self.questions[who]
        if self.printing is not None and (who, len(asked)) in self.printing:
            question.prints = prints(tensor, self.samples)
        asked.append(question)
        return question

    def cut(self, part: Tensor, whole: Tensor) -> None:
        """Record the layout of a part of a tensor that an observer has cut out."""
        found = self.of(whole)
        if isinstance(found, Layout) and part.shape[found.axis] != whole.shape[found.axis]:
            found = Lost("a part of the samples")
        self._found[part] = found

    def of(self, tensor: Tensor) -> Found:
        """The location of the samples in a tensor according to the rules."""
        found: Found | None = self._found.get(tensor)
        if found is not None:
            return found
        if isinstance(tensor, nn.Parameter):
            return Without.COMMON
        if is_functorch_wrapped_tensor(tensor):
            self.unseen = self.unseen or "a function of torch.func cannot be observed"
            return Lost("a function of torch.func")
        found = Without.COMMON
        if tensor.grad_fn is not None:
            by = tensor.grad_fn.name()
            self.unseen = self.unseen or f"{by} cannot be observed"
            found = Lost(by) if self.samples > 1 else Layout(0)  # all of it is of the one sample
        elif tensor.is_floating_point() and tensor.numel() > 1 and id(tensor) not in self._held():
            shape = tuple(tensor.shape)
            asked = Question("numbers", shape, self.samples, Lost(""), open=True)
            self._asked(STRANGE, asked, tensor)
        self._found[tensor] = found
        return found

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if name in ASKING or (name == "__get__" and func.__self__.__name__ not in VIEWS):
            return None

        refuse_nested(*args[:1])

        def then(out: Any) -> None:
            refuse_nested(out)
            note_comparison(name, args, out)
            outs = [out] if isinstance(out, Tensor) else tensors(out)
            if outs or name == "__setitem__":
                self._note(Call(func, name, args, kwargs, out, self.samples), outs)

        return then

    def _note(self, call: Call, outs: list[Tensor]) -> None:
        """Record the layout of the result of an operation, or of the argument it wrote to."""
        given = tensors((*call.args, *call.kwargs.values()))
        name = plain_name(call.name)
        if name in MADE:
            given = []
        elif name in SHAPED:
            given = given[:1]
        found = [(tensor, self.of(tensor)) for tensor in given]
        weights = tuple(id(tensor) for tensor in given if isinstance(tensor, nn.Parameter))
        if weights:
            self.route = hash((self.route, weights))
        if name in ONTO_FIRST or name == "__setitem__":
            places = [written([place for _, place in found], call.name)]
        else:
            places = self._after(call, found, outs)
        for tensor, place in zip(outs or given[:1], places, strict=True):
            self._found[tensor] = place
        if given and given[0]._base is not None and in_place(call.name, call.args, call.kwargs):
            self._written_through(given[0]._base, places[0], call.name)

    def _written_through(self, base: Tensor, place: Found, name: str) -> None:
        """Record that an operation has changed the base of a view."""
        before: Found | None = self._found.get(base)
        if before is Without.COMMON and place is not Without.COMMON:
            self._found[base] = Lost(f"`{name}`")

    def _after(
        self, call: Call, given: list[tuple[Tensor, Found]], outs: list[Tensor]
    ) -> list[Found]:
        """The layout of each result of an operation."""
        lost = next((found for _, found in given if isinstance(found, Lost)), None)
        placed = [(tensor, found) for tensor, found in given if isinstance(found, Layout)]
        if lost is not None:
            return [lost] * len(outs)
        if not placed:
            pooled = any(found is Without.POOLED for _, found in given)
            return [Without.POOLED if pooled else Without.COMMON] * len(outs)
        if self.samples == 1:  # all of it belongs to the one sample
            return [Layout(0)] * len(outs)
        call.placed = placed
        found = moved(call)
        each = [*found, *[None] * len(outs)] if isinstance(found, list) else [found] * len(outs)
        return [Lost(f"`{call.name}`") if one is None else one for one in each[: len(outs)]]


def written(places: list[Found], name: str) -> Found:
    """The layout of the first tensor after the others were written to it."""
    target, *others = places
    if target is Without.COMMON and any(found is not Without.COMMON for found in others):
        return Lost(f"`{name}`")
    return target


def prints(tensor: Tensor, samples: int) -> dict[int, Tensor]:
    """For each possible axis of the samples, four sums over all other axes, `[size, 4]`."""
    found = {}
    for axis, size in enumerate(tensor.shape):
        if size and size % samples == 0:
            rows = tensor.detach().movedim(axis, 0).reshape(size, -1).double().nan_to_num()
            place = torch.arange(rows.shape[1], device=rows.device, dtype=torch.float64)
            found[axis] = rows @ torch.stack([torch.cos(k * place + k) for k in (1, 2, 3, 5)], 1)
    return found
