"""Products of tensors: the correspondence between axes of the operands and of the result.

The channels of a layer and the layout of the samples in its output follow from it:

    >>> from torch import ones
    >>> operands = ones(8, 5, 3), ones(3, 4)
    >>> product = product_of(ones(0).matmul, "matmul", operands, {}, operands[0] @ operands[1])
    >>> [axes for _, axes in product]
    [(0, 1, None), (None, 2)]
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from foretell.engine.operations import CONVOLUTIONS

__all__ = ["Operand", "product_of"]

Axes = tuple[int | None, ...]
"""The axis of the result for each axis of an operand; None if it is summed over."""

Operand = tuple[Tensor, Axes]


def product_of(
    func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> list[Operand] | None:
    """The operands of a product that sums over some of their axes; None for another operation.

    A term that is added to the product, such as a bias, is not an operand.
    """
    if not isinstance(out, Tensor):
        return None
    if func in CONVOLUTIONS:
        return convolution(*operands(args, kwargs, "input", "weight"))
    read = PRODUCTS.get(name)
    return None if read is None else read(args, kwargs, out)


def operands(args: Sequence[Any], kwargs: dict[str, Any], *names: str) -> list[Any]:
    """The arguments with these names, whether given by position in this order or by name."""
    return [
        args[place] if place < len(args) else kwargs.get(name) for place, name in enumerate(names)
    ]


def convolution(x: Tensor, weight: Tensor) -> list[Operand]:
    """A convolution of samples [N, C, ...], or of a single one, [C, ...]."""
    unknown = (None,) * (weight.ndim - 1)
    if x.ndim < weight.ndim:
        return [(x, unknown), (weight, (0, *unknown))]
    return [(x, (0, *unknown)), (weight, (1, *unknown))]


def linear(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand]:
    """x [..., I], weight [O, I]."""
    x, weight = operands(args, kwargs, "input", "weight")
    channels = (x.ndim - 1, None) if weight.ndim == 2 else (None,)
    return [(x, (*range(x.ndim - 1), None)), (weight, channels)]


def bilinear(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand]:
    """Two inputs [..., I] and [..., J], weight [O, I, J]."""
    first, second, weight = operands(args, kwargs, "input1", "input2", "weight")
    kept = (*range(first.ndim - 1), None)
    return [(first, kept), (second, kept), (weight, (out.ndim - 1, None, None))]


def embedding(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand]:
    """An embedding of indices [...] by a weight [rows, C]: a product with one-hot rows."""
    numbers, weight = operands(args, kwargs, "input", "weight")
    return [(numbers, tuple(range(numbers.ndim))), (weight, (None, out.ndim - 1))]


def bags(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand] | None:
    """Indices [bags, length], weight [rows, C]; None if the indices are one-dimensional."""
    numbers, weight = operands(args, kwargs, "input", "weight")
    if numbers.ndim != 2:
        return None
    return [(numbers, (0, None)), (weight, (None, 1))]


def matmul(first: Tensor, second: Tensor, out: Tensor) -> list[Operand]:
    """torch.matmul: the last two axes are a matrix, and those before are broadcast."""
    many = max(first.ndim, second.ndim, 2) - 2
    before_first, before_second = (
        batches(one, many, out) if one.ndim > 1 else () for one in (first, second)
    )
    rows: Axes = (many, None) if first.ndim > 1 else (None,)
    columns: Axes = (None, many + (first.ndim > 1)) if second.ndim > 1 else (None,)
    return [(first, (*before_first, *rows)), (second, (*before_second, *columns))]


def batches(tensor: Tensor, many: int, out: Tensor) -> Axes:
    """The result axes of the axes before an operand's matrix; None for one that is broadcast."""
    shift = many - (tensor.ndim - 2)
    return tuple(
        shift + axis if size == out.shape[shift + axis] else None
        for axis, size in enumerate(tensor.shape[:-2])
    )


def matrices(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand] | None:
    """`a @ b`, however it is called."""
    first, second = args[0], next(iter((*args[1:], *kwargs.values())))
    return matmul(first, second, out)


def reflected(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand]:
    """`b.__rmatmul__(a)`, which is a @ b."""
    return matmul(args[1], args[0], out)


def added(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand] | None:
    """addmm(c, a, b) and similar operations, which compute c + a @ b."""
    rest = [*args[1:], *kwargs.values()]
    factors = [value for value in rest if isinstance(value, Tensor)]
    return matmul(factors[0], factors[1], out) if len(factors) == 2 else None


def chain(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand] | None:
    """multi_dot and chain_matmul; None if a factor between the first and the last is trained."""
    first, *between, last = args[0] if isinstance(args[0], list | tuple) else args
    if any(matrix.requires_grad for matrix in between):
        return None
    kept = matmul(first, last, out)
    return [kept[0], *((matrix, (None, None)) for matrix in between), kept[1]]


def inner(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand] | None:
    """torch.inner: the last axes of both are summed over."""
    first, second = operands(args, kwargs, "input", "other")
    if not first.ndim or not second.ndim:
        return None
    kept = first.ndim - 1
    return [
        (first, (*range(kept), None)),
        (second, (*range(kept, kept + second.ndim - 1), None)),
    ]


def tensordot(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand] | None:
    """torch.tensordot: `dims` gives the axes to sum over, as a number or as a pair of lists."""
    first, second, dims = operands(args, kwargs, "a", "b", "dims")
    number = 2 if dims is None else dims
    summed: Any = dims
    if isinstance(number, int):
        summed = range(first.ndim - number, first.ndim), range(number)
    found, place = [], 0
    for tensor, given in zip((first, second), summed, strict=True):
        gone = {axis % tensor.ndim for axis in ([given] if isinstance(given, int) else given)}
        axes: list[int | None] = []
        for axis in range(tensor.ndim):
            axes.append(None if axis in gone else place)
            place += axis not in gone
        found.append((tensor, tuple(axes)))
    return found


def einsum(args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> list[Operand] | None:
    """torch.einsum by its equation; None if it is given by lists of integers."""
    equation, *rest = args
    if not isinstance(equation, str):
        return None
    factors = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple) else rest
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [
        spelled_out(letters, tensor.ndim)
        for letters, tensor in zip(left.split(","), factors, strict=True)
    ]
    if arrow:
        right = spelled_out(right, out.ndim)
    else:  # then the letters that occur once, in the order of the alphabet, after the dots
        letters = "".join(terms)
        once = sorted(one for one in set(letters) if one.isalpha() and letters.count(one) == 1)
        right = spelled_out(("..." if "." in left else "") + "".join(once), out.ndim)
    found = []
    for term, tensor in zip(terms, factors, strict=True):
        axes = (right.find(letter) for letter in term)
        found.append((tensor, tuple(None if axis < 0 else axis for axis in axes)))
    return found


def spelled_out(letters: str, ndim: int) -> str:
    """The letters of axes, with an ellipsis replaced by digits that count from the last axis.

    >>> spelled_out("...ij", 4), spelled_out("ij", 2)
    ('10ij', 'ij')
    """
    before, dots, after = letters.partition("...")
    if not dots:
        return letters
    hidden = range(ndim - len(before) - len(after))
    return before + "".join(map(str, reversed(hidden))) + after


Read = Callable[[tuple[Any, ...], dict[str, Any], Tensor], list[Operand] | None]

PRODUCTS: dict[str, Read] = {
    "linear": linear,
    "bilinear": bilinear,
    "embedding": embedding,
    "embedding_bag": bags,
    "einsum": einsum,
    "tensordot": tensordot,
    "inner": inner,
    "linalg_multi_dot": chain,
    "chain_matmul": chain,
    "__rmatmul__": reflected,
    **dict.fromkeys(
        ("matmul", "__matmul__", "linalg_matmul", "mm", "bmm", "mv", "_sparse_mm"), matrices
    ),
    **dict.fromkeys(("addmm", "addmv", "baddbmm", "addmm_", "baddbmm_"), added),
}
"""The functions that read the operands, by the name of the operation."""
