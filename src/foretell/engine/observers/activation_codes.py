"""On which side of its kink or gate each unit is: the binary codes of the activations.

An activation is recognised by the operation it runs, so functional ones and those that overwrite
their input are seen as well. A unit's code is 1 where what goes in is positive.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import (
    CLAMPS,
    SMOOTH,
    SQUASHES,
    SWITCHES,
    glu_gate,
    lower_bound,
    plain_name,
)
from foretell.engine.observers.samples import Question, Samples
from foretell.engine.operations import ARITHMETIC, POINTWISE, words
from foretell.engine.subject import Unavailable

__all__ = ["Codes"]

PRODUCTS = POINTWISE | {"__imul__"}


SHIFTS = ARITHMETIC | words("to type_as contiguous")
"""They carry a gate on, if the other operand is a number."""


OVERWRITES = SHIFTS | SWITCHES


Packed = tuple[np.ndarray[Any, np.dtype[np.uint8]], int]


COLUMNS = 2**20
"""So many codes at a time: their number in common is an integer that float32 holds exactly."""


HIDING = words("rnn_relu rnn_relu_cell")
"""They have activations inside."""


@dataclass(eq=False)
class Note:
    """An activation's codes: of each sample once its samples are known, till then of all of it."""

    asked: Question
    bits: Packed
    shape: torch.Size
    route: int

    @property
    def kind(self) -> tuple[object, ...]:
        """What is the same for each part of a batch that runs the same activations."""
        return self.asked.about, self.route, self.bits[1]


class Codes(Observer):
    """Within the block, counts for each pair of samples the units on the same side for both.

    The codes themselves are not kept, unless the batch is run in parts: then they are, at a bit
    each, since a pair's samples may be in different parts.
    """

    def __init__(self, *, in_parts: bool = False) -> None:
        super().__init__()
        self._in_parts = in_parts
        self._total: Tensor | int = 0
        self._parts: list[list[Note]] = []
        self._gates = WeakTensorKeyDictionary()
        self._smooth: Counter[str] = Counter()
        self._why = ""

    def of(self, samples: Samples) -> "Codes":
        """The mode for the next part of the batch, whose samples are followed."""
        self._samples = samples
        self._smooth.clear()  # each part runs the same
        self._parts.append([])
        return self

    def forget_last(self) -> None:
        """Forget the part noted last; it is to be run again."""
        self._parts.pop()
        self._total = 0  # of parts, it is formed in the end

    def settle(self) -> None:
        """Count what was noted before it was known where the samples are."""
        notes, self._parts[-1] = self._parts[-1], []
        for note in notes:
            if note.bits[1] < note.shape.numel():
                self._parts[-1].append(note)
            else:
                self._take(note.asked, unpacked([note.bits]).view(note.shape), note.route)
        if self._samples.unseen:
            self._why = self._why or f"{self._samples.unseen}, and may have activations"

    def kernel(self) -> Tensor | Unavailable:
        """`[N, N]` float64: in how many codes two samples agree, summed over the activations."""
        if why := self._why or self._why_unlike():
            return Unavailable(why)
        for layer in zip(*self._parts, strict=True):
            self._total = self._total + agreements(unpacked(note.bits for note in layer))
        if isinstance(self._total, Tensor):
            return self._total
        return self._none()

    def patterns(self) -> int | Unavailable:
        """How many different codes the units have, each a bit for each of at most 16 samples.

        The batch must be run in parts, be it only one.
        """
        if why := self._why or self._why_unlike():
            return Unavailable(why)
        seen: set[int] = set()
        for layer in zip(*self._parts, strict=True):
            rows = unpacked(note.bits for note in layer).int()
            bits = 2 ** torch.arange(len(rows), dtype=torch.int32, device=rows.device)
            seen.update(torch.unique((rows * bits.unsqueeze(1)).sum(0)).tolist())
        return len(seen) if seen else self._none()

    def _why_unlike(self) -> str:
        """Why codes of different parts of the batch cannot be compared; empty if they can."""
        if len({tuple(note.kind for note in part) for part in self._parts}) <= 1:
            return ""
        return (
            "the model does not run the same activations for each sample, so that their codes "
            "cannot be compared"
        )

    def _none(self) -> Unavailable:
        """The reason why there are no codes."""
        found = ", ".join(f"{name} × {times}" for name, times in self._smooth.items())
        return Unavailable(
            "this model has no activation with a kink or a gate"
            + (f" (found: {found})" if found else "")
        )

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if not args or not isinstance(args[0], Tensor):
            return None
        name = plain_name(name)
        if name in HIDING or is_foreign_operation(func):
            self._why = self._why or f"`{name}` has activations that cannot be seen, or may have"
        gate = self._gate(name, args, kwargs)  # before it runs: it may overwrite its input
        if gate is None and name not in OVERWRITES:
            return None

        def then(out: Any) -> None:
            if not isinstance(out, Tensor):
                return
            if gate is not None:
                self._gates[out] = gate
            elif out in self._gates:
                del self._gates[out]  # overwritten by something that is no gate

        return then

    def _gate(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """Note the operation's codes, if any; the code of its result if that is a gate."""
        if name in SMOOTH:
            self._smooth[name] += 1
        if name in SQUASHES:
            return positive(args[0])
        if name in SWITCHES or (name in CLAMPS and lower_bound(args, kwargs) == 0):
            self._note(positive(args[0]), args[0], name)
        elif name == "glu":
            half = glu_gate(args, kwargs)
            self._samples.cut(half, args[0])
            self._note(positive(half), half, name)
        elif name in SHIFTS:
            return self._carried(name, args)
        return None

    def _carried(self, name: str, args: tuple[Any, ...]) -> Tensor | None:
        """What becomes of a gate: opened by a product, or carried on through a number."""
        tensors = [arg for arg in args if isinstance(arg, Tensor) and arg.ndim]
        gates = [(self._gates[arg], arg) for arg in tensors if arg in self._gates]
        if not gates or len(tensors) > 2:
            return None
        if len(tensors) == 2:
            if name in PRODUCTS and tensors[0].shape == tensors[1].shape:
                for gate, source in gates:
                    self._note(gate, source, name)
            return None
        carried: Tensor = gates[0][0]
        return carried

    def _note(self, code: Tensor, source: Tensor, name: str) -> None:
        """Note the codes of an activation; the samples are where they are in its input."""
        asked, route = self._samples.ask(source, name, "codes"), self._samples.route
        if self._samples.on_trial:
            return
        if asked.open:
            flat = packed(code.reshape(1, -1))
            self._parts[-1].append(Note(asked, flat, code.shape, route))
        else:
            self._take(asked, code, route)

    def _take(self, asked: Question, code: Tensor, route: int) -> None:
        """Take in codes whose samples are known; what is the same for all samples has none."""
        if asked.lost:
            self._why = self._why or asked.undivided(f"the input of `{asked.about}`", "activation")
        if asked.layout is None:
            return
        rows = asked.layout.by_sample(code, self._samples.samples).flatten(1)
        if self._in_parts:
            self._parts[-1].append(Note(asked, packed(rows), code.shape, route))
        else:
            self._total = self._total + agreements(rows)


def positive(x: Tensor) -> Tensor:
    """The code of an activation whose input is x."""
    return x.detach() > 0


def is_foreign_operation(func: Any) -> bool:
    """Whether an operation is registered with torch by somebody else.

    >>> is_foreign_operation(torch.relu), is_foreign_operation(torch.ops.aten.relu)
    (False, False)
    """
    if not isinstance(func, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        return False
    return str(func).partition(".")[0] not in ("aten", "prims")


def agreements(rows: Tensor) -> Tensor:
    """In how many columns two rows of truth values agree, `[N, N]`, exactly.

    >>> agreements(torch.tensor([[True, False, True], [True, True, True]]))
    tensor([[3., 2.],
            [2., 3.]], dtype=torch.float64)
    """
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for columns in torch.split(rows, COLUMNS, dim=1):
        signs = columns.to(torch.float32).mul_(2).sub_(1)
        total += (signs @ signs.T).double() + columns.shape[1]
    return total / 2


def packed(rows: Tensor) -> Packed:
    """Truth values at a bit each, and how many there are in a row."""
    return np.packbits(rows.cpu().numpy(), axis=1), rows.shape[1]


def unpacked(parts: Iterable[Packed]) -> Tensor:
    """The truth values of several parts, one below the other."""
    rows = [np.unpackbits(bits, axis=1, count=width) for bits, width in parts]
    return torch.from_numpy(np.concatenate(rows)).bool()
