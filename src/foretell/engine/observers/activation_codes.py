"""On which side of its kink or gate each unit is: the binary codes of the activations.

An activation is recognised by the operation it runs, so functional ones and those that overwrite
their input are seen as well. A unit's code is 1 where what goes in is positive.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.engine.failures import Inexact
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


class Codes(Observer):
    """Within the block, counts for each pair of samples the units on the same side for both.

    The codes themselves are not kept, unless the batch is run in parts: then they are, at a bit
    each, since a pair's samples may be in different parts.
    """

    def __init__(self, *, in_parts: bool = False) -> None:
        super().__init__()
        self._in_parts = in_parts
        self._samples = 0
        self._total: Tensor | int = 0
        self._parts: list[list[Packed]] = []
        self._gates = WeakTensorKeyDictionary()
        self._smooth: Counter[str] = Counter()

    def of(self, samples: int) -> "Codes":
        """The mode for the next part of the batch, of so many samples."""
        self._samples = samples
        self._smooth.clear()  # each part runs the same
        self._parts.append([])
        return self

    def forget_last(self) -> None:
        """Forget the part noted last; it is to be run again."""
        self._parts.pop()
        self._total = 0  # of parts, it is formed in the end

    def kernel(self) -> Tensor | Unavailable:
        """`[N, N]` float64: in how many codes two samples agree, summed over the activations."""
        if self._in_parts:
            if len({len(part) for part in self._parts}) > 1:
                raise Inexact("the model does not run the same activations for each sample")
            for layer in zip(*self._parts, strict=True):
                self._total = self._total + agreements(unpacked(layer))
        if isinstance(self._total, Tensor):
            return self._total
        return self._none("nwot")

    def patterns(self) -> int | Unavailable:
        """How many different codes the units have, each a bit for each of at most 16 samples.

        The batch must be run in parts, be it only one.
        """
        if len({len(part) for part in self._parts}) > 1:
            raise Inexact("the model does not run the same activations for each sample")
        seen: set[int] = set()
        for layer in zip(*self._parts, strict=True):
            rows = unpacked(layer).int()
            bits = 2 ** torch.arange(len(rows), dtype=torch.int32)
            seen.update(torch.unique((rows * bits.unsqueeze(1)).sum(0)).tolist())
        return len(seen) if seen else self._none("swap")

    def _none(self, score: str) -> Unavailable:
        """The reason why there are no codes."""
        found = ", ".join(f"{name} × {times}" for name, times in self._smooth.items())
        return Unavailable(
            f"{score} needs activations with a kink or a gate; this model has none"
            + (f" (found: {found})" if found else "")
        )

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if not args or not isinstance(args[0], Tensor):
            return None
        name = plain_name(name)
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
            self._note(positive(args[0]))
        elif name == "glu":
            self._note(positive(glu_gate(args, kwargs)))
        elif name in SHIFTS:
            return self._carried(name, args)
        return None

    def _carried(self, name: str, args: tuple[Any, ...]) -> Tensor | None:
        """What becomes of a gate: opened by a product, or carried on through a number."""
        tensors = [arg for arg in args if isinstance(arg, Tensor) and arg.ndim]
        gates = [self._gates[arg] for arg in tensors if arg in self._gates]
        if not gates or len(tensors) > 2:
            return None
        if len(tensors) == 2:
            if name in PRODUCTS and tensors[0].shape == tensors[1].shape:
                for gate in gates:
                    self._note(gate)
            return None
        carried: Tensor = gates[0]
        return carried

    def _note(self, code: Tensor) -> None:
        rows = by_sample(code, self._samples)
        if rows is None:
            return  # worked out once for all samples: the same for every pair
        if self._in_parts:
            self._parts[-1].append(packed(rows))
        else:
            self._total = self._total + agreements(rows)


def positive(x: Tensor) -> Tensor:
    """The code of an activation whose input is x."""
    return x.detach() > 0


def by_sample(code: Tensor, samples: int) -> Tensor | None:
    """The codes as `[samples, D]`; None where no axis runs over the samples.

    Attention and time-first layers have the samples second; windows of a sample lie together.
    """
    if code.ndim == 3 and code.shape[0] != samples and code.shape[1] == samples:
        return code.transpose(0, 1).reshape(samples, -1)
    if code.ndim < 2 or code.shape[0] % samples:
        return None
    return code.reshape(samples, -1)


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
