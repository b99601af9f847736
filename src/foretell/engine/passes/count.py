"""Count operations in a forward pass, from shapes alone if the model runs without values."""

import math
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foretell.batch import Batch, tensors
from foretell.engine.failures import ModelFailed, refuse_nested
from foretell.engine.faster.shapes import KnownShapes
from foretell.engine.isolate import call
from foretell.engine.modules import named_buffers_of, named_parameters_of
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.dataflow import Dataflow, Used
from foretell.engine.observers.layer_outputs import differentiable_recurrence
from foretell.engine.operations import words
from foretell.engine.subject import Found, Seconds, Subject, Unavailable, timed

__all__ = ["count_pass", "shape_only"]

T = TypeVar("T")


def count_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The counts in `wanted`, from shapes alone if the model runs without values."""
    with timed(seconds, "count", subject.device):
        if not wanted & FROM_USE:
            return {"forward_flops": in_some_way(subject, flops_of)}
        try:
            flops, used = in_some_way(subject, flops_and_use_of)
        except ModelFailed as error:
            flops = in_some_way(subject, flops_of)  # this also fails if the model does not run
            why = f"the operations of the model cannot be followed ({error.complaint})"
            return {"forward_flops": flops} | dict.fromkeys(FROM_USE, Unavailable(why))
        found = {"forward_flops": flops} | of_use(subject, used)
        unknown = ("used_flops", "longest_path") if isinstance(flops, Unavailable) else ()
        return found | dict.fromkeys(unknown, flops)


FROM_USE = {"used_parameters", "used_flops", "longest_path"}


def of_use(subject: Subject, used: Used | None) -> Found:
    """The quantities of the operations and parameters that the outputs depend on."""
    if used is None:
        why = "the model's output is neither a tensor nor a tuple, list or dict of tensors"
        return dict.fromkeys(FROM_USE, Unavailable(why))
    own = dict(named_parameters_of(subject.model))
    return {
        "used_parameters": {n: p.detach() for n, p in own.items() if n in used.parameters},
        "used_flops": used.flops,
        "longest_path": used.depth,
    }


def in_some_way(subject: Subject, count: Callable[[Subject, Batch, dict[str, Tensor]], T]) -> T:
    """The result of `count` on shapes, otherwise on two samples, otherwise on the whole batch.

    A model needs real samples if it reads values or creates tensors on a fixed device, and the
    whole batch if its samples are the nodes of one graph.
    """
    own = dict(named_parameters_of(subject.model)) | dict(named_buffers_of(subject.model))
    shapes = {name: shape_only(tensor) for name, tensor in own.items()}
    with suppress(ModelFailed):
        return count(subject, subject.batch.each(shape_only), shapes)
    with suppress(ModelFailed):
        return count(subject, subject.batch[:2], {})
    return count(subject, subject.batch, {})


def shape_only(tensor: Tensor) -> Tensor:
    """A tensor with the same shape and type, without values."""
    return tensor.detach().to("meta")


class Unnested(Observer):
    """Within the block, a nested tensor raises Nested."""

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        refuse_nested(*args[:1])
        return refuse_nested


class Whole:
    """Replaces torch's tracker of modules, which would add hooks to every graph."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class Counter(FlopCounterMode):
    """Counts the operations of the whole model, and decomposes unknown ones.

    `unknown` is the first operator that multiplies, or may multiply, and has no formula.
    """

    def __init__(self) -> None:
        super().__init__(display=False, custom_mapping=MORE)
        self.flop_registry = {k: of_complex(f) for k, f in self.flop_registry.items()} | TRANSFORMS
        self.mod_tracker = Whole()  # type: ignore[assignment]
        self.unknown = ""

    def _count_flops(self, func_packet: Any, out: Any, args: Any, kwargs: Any) -> Any:
        if func_packet not in self.flop_registry and may_multiply(func_packet, (args, kwargs)):
            self.unknown = self.unknown or str(func_packet).removeprefix("aten.").lstrip("_")
        count: Any = super()._count_flops
        return count(func_packet, out, args, kwargs)

    def flops(self, samples: int) -> int | Unavailable:
        """FLOPs per sample, or the reason why they are unknown."""
        if self.unknown:
            return Unavailable(
                f"the number of operations of `{self.unknown}` is unknown; register a formula with "
                "torch.utils.flop_counter.register_flop_formula"
            )
        return int(self.get_total_flops()) // samples


def may_multiply(packet: Any, given: Any) -> bool:
    """Whether torch's operator multiplies matrices, or another is given two or more of them."""
    name = str(packet)
    space, _, own = name.partition(".")
    if name in WITHOUT_PRODUCTS:
        return False
    if space in TORCHS:
        parts = own.strip("_").split("_")
        return parts[0] == "linalg" or any(p in MULTIPLYING or p.endswith("mm") for p in parts)
    return sum(tensor.is_floating_point() and tensor.ndim > 1 for tensor in tensors(given)) > 1


TORCHS = words("aten prims prim profiler")
"""The namespaces of torch's operators."""

MULTIPLYING = words(
    "matmul linear convolution attention rnn cdist pdist cholesky triangular geqrf ormqr orgqr lu"
)
"""Words in the names of torch's operators that multiply matrices, or factorise them."""

WITHOUT_PRODUCTS = words(
    "torchvision.nms torchvision.roi_align torchvision.roi_pool torchvision.ps_roi_align "
    "torchvision.ps_roi_pool aten.linalg_vector_norm aten.linalg_cross aten.linalg__powsum "
    "aten._linalg_check_errors aten.lu_unpack"
)
"""Operators that only read and interpolate, or are elementwise."""


def flops_of(subject: Subject, batch: Batch, replacements: dict[str, Tensor]) -> int | Unavailable:
    """FLOPs per sample of one forward pass."""
    counter = Counter()
    run(subject, batch, replacements, counter)
    return counter.flops(len(batch))


def flops_and_use_of(
    subject: Subject, batch: Batch, replacements: dict[str, Tensor]
) -> tuple[int | Unavailable, Used | None]:
    """FLOPs per sample, and the dependencies of the outputs; None if outputs are not tensors."""
    counter = Counter()
    own = {n: replacements.get(n, p) for n, p in named_parameters_of(subject.model)}
    flow = Dataflow(own, tensors(batch.inputs), counter.flop_registry)
    outputs = tensors(run(subject, batch, replacements, counter, flow))
    flops = counter.flops(len(batch))
    if not outputs:
        return flops, None
    used = flow.used_by(outputs)
    return flops, replace(used, flops=used.flops // len(batch))


def run(
    subject: Subject,
    batch: Batch,
    replacements: dict[str, Tensor],
    counter: FlopCounterMode,
    flow: Dataflow | None = None,
) -> Any:
    """The outputs of one forward pass, during which operations are counted and traced.

    Gradients are enabled, since some models differentiate in their forward pass.
    """
    with (
        subject.undisturbed("count"),
        torch.enable_grad(),
        sdpa_kernel(SDPBackend.MATH),
        differentiable_recurrence(),  # it then runs as single products, which are counted
        KnownShapes() if subject.faster else nullcontext(),
        flow or nullcontext(),
        Unnested(),
        counter,
    ):
        return call(subject.model, replacements, batch)


Shape = torch.Size


def vector_flops(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    """FLOPs of a matrix–vector or inner product: two per element of the larger factor.

    >>> vector_flops(Shape([4, 3]), Shape([3]))
    24
    """
    return 2 * max(first.numel(), second.numel())


def added_vector_flops(_: Shape, matrix: Shape, vector: Shape, *__: Any, **___: Any) -> int:
    """FLOPs of a matrix–vector product that is added to a vector."""
    return vector_flops(matrix, vector)


def added_products_flops(_: Shape, first: Shape, second: Shape, *__: Any, **___: Any) -> int:
    """FLOPs of a batch of matrix products that are summed."""
    return 2 * first.numel() * second[-1]


def trilinear_flops(
    first: Shape,
    second: Shape,
    third: Shape,
    expand_first: list[int],
    expand_second: list[int],
    expand_third: list[int],
    summed: list[int],
    *_: Any,
    **__: Any,
) -> int:
    """FLOPs of a bilinear layer: of the product of two factors, and of its product with the third.

    Axes that are missing in the third factor are summed first.

    >>> trilinear_flops(  # two samples, 4 outputs of 6 times 5 features
    ...     Shape([2, 6]), Shape([4, 6, 5]), Shape([2, 5]), [1, 3], [0], [1, 2], [2, 3])
    560
    """
    count = len(first) + len(expand_first)

    def spread(shape: Shape, expanded: list[int]) -> list[int]:
        sizes = iter(shape)
        return [1 if axis in expanded else next(sizes) for axis in range(count)]

    last = spread(third, expand_third)
    pairs = zip(spread(first, expand_first), spread(second, expand_second), strict=True)
    joint = [max(pair) for pair in pairs]
    gone = [axis in summed and last[axis] == 1 for axis in range(count)]
    rest = [1 if gone[axis] else max(joint[axis], last[axis]) for axis in range(count)]
    return 2 * math.prod(joint) + 2 * math.prod(rest)


def sparse_flops(_: Any, sparse: Tensor, dense: Tensor, *__: Any, **___: Any) -> int:
    """FLOPs of a sparse matrix times a dense one: only the stored entries count."""
    return 2 * sparse._nnz() * dense.shape[-1]


sparse_flops._get_raw = True  # type: ignore[attr-defined]  # takes tensors, not shapes


def distance_flops(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    """FLOPs of the distances of all pairs of rows: those of the product of the two matrices."""
    return 2 * first.numel() * second[-2]


def of_complex(formula: Callable[..., int]) -> Callable[..., int]:
    """The formula, with four products and four sums for the product and sum of complex numbers."""

    def flops(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
        number = formula(*args, out_val=out_val, **kwargs)
        return 4 * number if isinstance(out_val, Tensor) and out_val.is_complex() else number

    return flops


def transform_flops(given: Tensor, dim: list[int], *_: Any, out_val: Tensor, **__: Any) -> int:
    """FLOPs of a fast Fourier transform: 5 n log₂ n for n complex numbers, half of that for real.

    Frigo and Johnson, fftw.org/speed/method.html. The numbers are those along the axes in `dim`.

    >>> x = torch.ones(3, 8)
    >>> transform_flops(x, [1], out_val=torch.fft.rfft(x))
    180
    """
    whole = given if out_val.is_complex() else out_val
    each = 5.0 if given.is_complex() and out_val.is_complex() else 2.5
    return round(each * whole.numel() * math.log2(math.prod(whole.shape[axis] for axis in dim)))


aten = torch.ops.aten

TRANSFORMS: dict[Any, Callable[..., int]] = dict.fromkeys(
    (aten._fft_c2c, aten._fft_r2c, aten._fft_c2r), transform_flops
)
"""Fourier transforms; of a real one, the axes are counted where the numbers are real."""

MORE: dict[Any, Callable[..., int]] = {
    aten.mv: vector_flops,
    aten.dot: vector_flops,
    aten.vdot: vector_flops,
    aten.addmv: added_vector_flops,
    aten.addbmm: added_products_flops,
    aten._trilinear: trilinear_flops,
    aten._sparse_addmm: sparse_flops,
    aten._cdist_forward: distance_flops,
    aten._euclidean_dist: distance_flops,
}
"""The FLOPs of products that torch's counter omits, as functions of the arguments' shapes."""
