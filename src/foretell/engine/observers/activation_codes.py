"""The binary codes of activations: on which side of its kink or gate each unit is.

An activation is recognised by the operation that it runs, which includes functional and in-place
activations. The code of a unit is 1 if the input of its activation is positive, and 0 otherwise.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretell.engine.by_tensor import ByTensor
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import SMOOTH, SQUASHES, SWITCHES, plain_name
from foretell.engine.observers.bends import SHIFTS, Bend, Taker
from foretell.engine.observers.samples import Question, Samples
from foretell.engine.operations import POINTWISE, words
from foretell.engine.subject import Unavailable

__all__ = ["Codes"]

PRODUCTS = POINTWISE | {"__imul__"}


OVERWRITES = SHIFTS | SWITCHES


Packed = tuple[np.ndarray[Any, np.dtype[np.uint8]], int]


COLUMNS = 2**20
"""The number of codes that are compared at a time; float32 represents such counts exactly."""


HIDING = words("rnn_relu rnn_relu_cell")
"""Operations that contain activations."""


@dataclass(eq=False)
class Note:
    """The codes of one activation.

    They have one row per sample, or a single row until the axis of the samples is known.
    """

    asked: Question
    bits: Packed
    shape: torch.Size
    route: int

    @property
    def kind(self) -> tuple[object, ...]:
        """A key that is equal for all parts of a batch that run the same activations."""
        return self.asked.about, self.route, self.bits[1]


class Codes(Observer, Taker):
    """Within the block, count the units with the same code for each pair of samples.

    The codes themselves are discarded unless the batch is run in parts. Then they are kept, with
    one bit each, since the samples of a pair may be in different parts.
    """

    def __init__(self, *, in_parts: bool = False) -> None:
        super().__init__()
        self._in_parts = in_parts
        self._total: Tensor | int = 0
        self._parts: list[list[Note]] = []
        self._gates = ByTensor[Tensor]()
        self._gate = torch.empty(0)
        """The code of the last gate."""
        self._smooth: Counter[str] = Counter()

    def of(self, samples: Samples) -> "Codes":
        """Prepare the observer for the next part of the batch, whose samples `samples` follows."""
        self._samples = samples
        self._smooth.clear()  # each part runs the same ones
        self._parts.append([])
        return self

    def forget_last(self) -> None:
        """Discard the records of the last part, which is run again."""
        self._parts.pop()
        self._total = 0  # with parts, the total is computed at the end

    def settle(self) -> None:
        """Process the codes that were recorded before the axis of the samples was known."""
        notes, self._parts[-1] = self._parts[-1], []
        for note in notes:
            if note.bits[1] < note.shape.numel():
                self._parts[-1].append(note)
            else:
                self._take(note.asked, unpacked([note.bits]).view(note.shape), note.route)
        if self._samples.unseen:
            self._why = self._why or f"{self._samples.unseen}, and may contain activations"

    def kernel(self) -> Tensor | Unavailable:
        """The number of equal codes for each pair of samples, `[N, N]` in float64."""
        if why := self._why or self._why_unlike():
            return Unavailable(why)
        for layer in zip(*self._parts, strict=True):
            self._total = self._total + agreements(unpacked(note.bits for note in layer))
        if isinstance(self._total, Tensor):
            return self._total
        return self._none()

    def patterns(self) -> int | Unavailable:
        """The number of distinct patterns of units, with one bit per sample (at most 16).

        The observer must have been created with `in_parts=True`, even for a single part.
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
        """The reason why codes of different parts cannot be compared; empty if they can."""
        if len({tuple(note.kind for note in part) for part in self._parts}) <= 1:
            return ""
        return (
            "the model does not run the same activations for each sample, so their codes cannot "
            "be compared"
        )

    def _none(self) -> Unavailable:
        """The reason why no codes were recorded."""
        found = ", ".join(f"{name} × {times}" for name, times in self._smooth.items())
        return Unavailable(
            "this model has no activation with a kink or a gate"
            + (f" (found: {found})" if found else "")
        )

    def enters(self, bend: Bend) -> None:
        """Record the code of an activation."""
        if bend.name not in SMOOTH:
            self._note(positive(bend.x), bend.x, bend.name)
        elif bend.name in SQUASHES:
            self._gate = positive(bend.x)
            if bend.gates:
                self._note(self._gate, bend.x, bend.name)

    def leaves(self, bend: Bend) -> None:
        """Record that an output is a gate."""
        if bend.name in SQUASHES:
            for carrier in bend.carriers:
                self._gates[carrier] = self._gate

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if not args or not isinstance(args[0], Tensor):
            return None
        name = plain_name(name)
        if name in HIDING or is_foreign_operation(func):
            self._why = self._why or f"`{name}` may contain activations that cannot be observed"
        if name in SMOOTH:
            self._smooth[name] += 1
        gate = self._carried(name, args) if name in SHIFTS else None
        if gate is None and name not in OVERWRITES:
            return None

        def then(out: Any) -> None:
            if not isinstance(out, Tensor):
                return
            if gate is not None:
                self._gates[out] = gate
            elif out in self._gates:
                del self._gates[out]  # overwritten by a value that is not a gate

        return then

    def _carried(self, name: str, args: tuple[Any, ...]) -> Tensor | None:
        """Record the code of a gate that multiplies a tensor; return one that is only shifted."""
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
        """Record the codes of an activation, whose samples are on the same axis as in `source`."""
        asked, route = self._samples.ask(source, name, "codes"), self._samples.route
        if self._samples.on_trial:
            return
        if asked.open:
            flat = packed(code.reshape(1, -1))
            self._parts[-1].append(Note(asked, flat, code.shape, route))
        else:
            self._take(asked, code, route)

    def _take(self, asked: Question, code: Tensor, route: int) -> None:
        """Count codes whose axis of samples is known; ignore those that all samples share."""
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
    """Whether an operation was registered with torch by another package.

    >>> is_foreign_operation(torch.relu), is_foreign_operation(torch.ops.aten.relu)
    (False, False)
    """
    if not isinstance(func, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        return False
    return str(func).partition(".")[0] not in ("aten", "prims")


def agreements(rows: Tensor) -> Tensor:
    """The number of columns in which each pair of boolean rows agrees, `[N, N]`, exactly.

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
    """Pack booleans into bits; returned with the number of columns."""
    return np.packbits(rows.cpu().numpy(), axis=1), rows.shape[1]


def unpacked(parts: Iterable[Packed]) -> Tensor:
    """The booleans of several packed parts, stacked along the rows."""
    rows = [np.unpackbits(bits, axis=1, count=width) for bits, width in parts]
    return torch.from_numpy(np.concatenate(rows)).bool()
