"""Run models in channels-last memory layout, in which convolutions are faster.

Values differ only in the last digits. However, a model can depend on the layout: it may read
strides, create a view that fails, or overwrite a tensor that is a copy in one layout but not in the
other. Such a model is run again in the original layout.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.batch import tensors
from foretell.engine.faster.batch_norm import batch_norm
from foretell.engine.faster.channels import lies_last
from foretell.engine.faster.onednn import in_safe_layout, is_unsafe, stride_of
from foretell.engine.observer import Observer, Then
from foretell.engine.operations import DRAWING, NormCall, contracted, in_place, words

__all__ = ["ChannelsLast", "LayoutGuard", "LayoutMattersError", "in_own_layout"]


class LayoutMattersError(Exception):
    """The model may depend on the memory layout, so the results must be discarded."""


class ChannelsLast(Observer):
    """Within the block, images are channels-last if that is faster for the first convolution."""

    replaced = (torch.conv2d, F.batch_norm)
    turned: bool | None = None
    """Whether images are channels-last; None before the first convolution."""

    def __init__(self, *, tf32: bool = False) -> None:
        """`tf32` says whether a GPU may use TF32."""
        super().__init__()
        self._tf32 = tf32

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with torch._C.DisableTorchFunction():
            if func is torch.conv2d:
                args, kwargs = self._laid_out(args, kwargs)
            elif self.turned is not False:
                call = NormCall(*args, **kwargs)
                if call.training and lies_last(call.input) and not call.input.is_cuda:
                    return batch_norm(*args, **kwargs)
            return func(*args, **kwargs)

    def _laid_out(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a convolution, with the input in the chosen layout."""
        x, weight, bias, others, named = contracted(args, kwargs)
        if self.turned is None:
            self.turned = pays(x, weight, tf32=self._tf32)
        if is_unsafe(x, weight, stride_of(others, named)):
            x, weight = in_safe_layout(x), in_safe_layout(weight)
        elif self.turned and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return (x, weight, bias, *others), named


class LayoutGuard(Observer):
    """Within the block, observes whether the model depends on the memory layout.

    At the end of the block, it raises LayoutMattersError, replacing any other error, if the layout
    may have changed more than the last digits.
    """

    def __init__(self, layout: ChannelsLast) -> None:
        super().__init__()
        self._layout = layout
        self._matters = False
        self._copies: list[Tensor] = []

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._copies.clear()
        if self._matters:
            raise LayoutMattersError

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is None or not self._layout.turned:  # the layout is unchanged
            return None
        self._note(func, name, first, args, kwargs)
        if name not in MAY_COPY:
            return None

        def keep(out: Tensor) -> None:
            self._copies += [first.detach(), out.detach()]

        return keep

    def _note(
        self, func: Any, name: str, first: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Note whether the operation can reveal the layout."""
        if name in TELLS and lies_last(first):
            self._matters = True
        elif name == "view" and lies_last(first):
            try:
                func(*args, **kwargs)
            except RuntimeError:
                self._matters = True
        elif self._copies and (in_place(name, args, kwargs) or "out" in kwargs):
            memory = {copy.untyped_storage().data_ptr() for copy in self._copies}
            target = kwargs.get("out", first)
            self._matters |= (
                isinstance(target, Tensor) and target.untyped_storage().data_ptr() in memory
            )


def pays(x: Tensor, weight: Tensor, *, tf32: bool) -> bool:
    """Whether convolutions are faster in channels-last layout, judging by the first one.

    On a CPU with 16 channels, a 3×3 convolution takes 0.7 of the time, and a 1×1 convolution half;
    with 64 channels, there is no gain, and torch's normalisation in the original layout is faster
    than that of `batch_norm.py`. On a GPU, the units for half precision and TF32 prefer this
    layout; this was not measured.
    """
    if x.ndim != 4:
        return False
    if x.is_cuda:
        return x.dtype in (torch.float16, torch.bfloat16) or (tf32 and x.dtype == torch.float32)
    return x.device.type == "cpu" and x.dtype == torch.float32 and len(weight) <= FEW


def in_own_layout(outputs: Any) -> Any:
    """The outputs in the original memory layout, which a loss expects.

    Raises LayoutMattersError for objects of other types that may contain such tensors.
    """
    if isinstance(outputs, Tensor):
        return outputs.contiguous() if lies_last(outputs) else outputs
    known = isinstance(outputs, tuple | list | Mapping)
    if not known or any(lies_last(tensor) for tensor in tensors(outputs)):
        raise LayoutMattersError
    return outputs


FEW = 16
"""The largest number of channels for which channels-last layout is faster on a CPU."""


TELLS = (
    words("is_contiguous stride as_strided data_ptr storage untyped_storage numpy storage_offset")
    | words("set_ resize_ __array__ __dlpack__ dim_order")
    | DRAWING
    | {f"{name}_" for name in DRAWING}
)
"""Operations that depend on the order in memory, such as those that draw random numbers."""


MAY_COPY = words("contiguous reshape flatten ravel reshape_as to type unflatten")
"""Operations that return a view in one layout and a copy in another."""
