"""The rule for each operation, which returns the layout of its result.

A rule depends only on shapes and arguments. If there is no rule, or if it has no answer, the
samples are lost; nothing is guessed.
"""

from typing import Any

import torch.nn.functional as F

from foretell.engine.operations import ARITHMETIC, CONVOLUTIONS, words
from foretell.engine.samples.layout import Call, Place, Rule
from foretell.engine.samples.moves import (
    axes_moved,
    indexed,
    interleaved,
    joined,
    narrowed,
    permuted,
    pieces,
    repeated,
    reshaped,
    reversed_axes,
    squeezed,
    stacked,
    transposed,
    windows,
    with_axis,
    without_axis,
)
from foretell.engine.samples.values import (
    attended,
    attended_by_heads,
    chosen,
    contracted,
    either,
    first_alone,
    first_axis,
    leading,
    padded,
    recurred,
    reduced,
    rolled,
    same_place,
    sorted_along,
    transformed,
)

__all__ = ["ONTO_FIRST", "moved"]


def moved(call: Call) -> Place | list[Place]:
    """The layout of the result of an operation, or of each of its results."""
    name = plain(call.func, call.name)
    if call.func in CONVOLUTIONS:
        return contracted(call)
    rule = F_RULES.get(call.func) or RULES.get(name)
    try:
        return None if rule is None else rule(call)
    except (AttributeError, IndexError, TypeError, ValueError):  # an unexpected form of the call
        return None


def plain(func: Any, name: str) -> str:
    """The name of an operation without an in-place suffix; that of a property is `.T`."""
    if name == "__get__":
        return f".{func.__self__.__name__}"
    return name if name.endswith("__") else name.rstrip("_")


ENTRY_BY_ENTRY = ARITHMETIC | words(
    "relu relu6 leaky_relu rrelu prelu threshold hardtanh hardswish hardsigmoid hardshrink "
    "softshrink tanhshrink gelu silu mish elu celu selu softplus log_sigmoid logsigmoid sigmoid "
    "tanh softmax log_softmax softmin softsign erf erfc erfinv sin cos tan sinh cosh asin acos "
    "atan atan2 exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal pow __pow__ "
    "__rpow__ float_power __ipow__ abs absolute __abs__ neg negative __neg__ sign sgn clamp clip "
    "clamp_min clamp_max maximum minimum fmax fmin lerp addcmul addcdiv round floor ceil "
    "trunc frac fmod remainder __mod__ __floordiv__ floor_divide hypot logaddexp logit expit "
    "xlogy nan_to_num masked_fill dropout alpha_dropout dropout1d dropout2d dropout3d "
    "feature_dropout feature_alpha_dropout gumbel_softmax normalize cumsum cumprod logcumsumexp "
    "layer_norm rms_norm group_norm batch_norm instance_norm local_response_norm native_layer_norm "
    "to type type_as float double half bfloat16 long int bool short byte contiguous clone detach "
    "requires_grad cpu cuda copy positive zeros_like ones_like full_like empty_like rand_like "
    "randn_like randint_like bernoulli fill zero normal uniform exponential "
    "eq ne lt le gt ge __eq__ __ne__ __lt__ __le__ __gt__ __ge__ logical_and logical_or "
    "logical_not logical_xor __and__ __or__ __xor__ __invert__ __rsub__ isnan isinf isfinite "
    "bitwise_and bitwise_or bitwise_not softmax2d .data .real .imag square_ "
    "add sub subtract multiply divide true_divide "
    "__rtruediv__ __rdiv__ heaviside special_erf special_erfc special_ndtr special_expit "
    "special_expm1 special_log1p special_exp2 special_xlogy special_log_ndtr sinc special_sinc "
    "complex polar angle conj conj_physical resolve_conj real imag"
)
"""Operations that are elementwise, or act along an axis whose length does not change."""

REDUCTIONS = words(
    "mean sum nansum nanmean amax amin max min argmax argmin prod all any var std var_mean "
    "std_mean norm logsumexp median mode count_nonzero linalg_vector_norm linalg_norm"
)

ONTO_FIRST = words(
    "index_add index_copy index_fill index_put scatter scatter_add scatter_reduce masked_scatter "
    "slice_scatter select_scatter diagonal_scatter"
)
"""Operations that write to a copy of their first argument, and keep its axes."""

RULES: dict[str, Rule] = {
    **dict.fromkeys(ENTRY_BY_ENTRY, same_place),
    **dict.fromkeys(REDUCTIONS, reduced),
    **dict.fromkeys(ONTO_FIRST, first_alone),
    **dict.fromkeys(words("matmul __matmul__ __rmatmul__ linalg_matmul mm bmm mv"), contracted),
    **dict.fromkeys(words("_sparse_mm addmm baddbmm"), contracted),
    **dict.fromkeys(words("linear bilinear embedding embedding_bag"), contracted),
    **dict.fromkeys(words("einsum tensordot inner"), contracted),
    **dict.fromkeys(words("transpose swapaxes swapdims t adjoint .mT .mH .H"), transposed),
    **dict.fromkeys(words("avg_pool1d max_pool1d lp_pool1d adaptive_avg_pool1d"), leading(1)),
    **dict.fromkeys(words("_max_pool1d adaptive_max_pool1d glu"), leading(1)),
    **dict.fromkeys(words("avg_pool2d max_pool2d lp_pool2d adaptive_avg_pool2d"), leading(2)),
    **dict.fromkeys(words("_max_pool2d adaptive_max_pool2d"), leading(2)),
    **dict.fromkeys(words("avg_pool3d max_pool3d adaptive_avg_pool3d"), leading(3)),
    **dict.fromkeys(words("adaptive_max_pool3d pixel_shuffle pixel_unshuffle"), leading(3)),
    **dict.fromkeys(words("interpolate upsample channel_shuffle fold grid_sample"), first_axis),
    **dict.fromkeys(
        words("affine_grid lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"), first_axis
    ),
    **dict.fromkeys(words("lstm gru rnn_tanh rnn_relu"), recurred),
    **dict.fromkeys(words("view reshape flatten unflatten view_as reshape_as ravel"), reshaped),
    **dict.fromkeys(words("expand expand_as broadcast_to"), same_place),
    **dict.fromkeys(words("repeat tile"), repeated),
    **dict.fromkeys(words("chunk split split_with_sizes tensor_split"), pieces),
    **dict.fromkeys(words("unbind select"), without_axis),
    **dict.fromkeys(words("cat concat concatenate"), joined),
    **dict.fromkeys(words("roll flip"), rolled),
    **dict.fromkeys(words("sort argsort topk msort kthvalue"), sorted_along),
    **dict.fromkeys(words("movedim moveaxis"), axes_moved),
    **dict.fromkeys(words("fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft"), transformed),
    **dict.fromkeys(words("fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2"), transformed),
    **dict.fromkeys(words("view_as_real view_as_complex"), first_alone),
    "permute": permuted,
    ".T": reversed_axes,
    "pad": padded,
    "scaled_dot_product_attention": attended,
    "multi_head_attention_forward": attended_by_heads,
    "repeat_interleave": interleaved,
    "unfold": windows,
    "__getitem__": indexed,
    "narrow": narrowed,
    "squeeze": squeezed,
    "unsqueeze": with_axis,
    "stack": stacked,
    "where": either,
    **dict.fromkeys(words("gather take_along_dim index_select"), chosen),
}
"""The rule for each operation by name."""

F_RULES: dict[Any, Rule] = {F.unfold: first_axis}
"""The rules for functions of torch.nn.functional whose name another operation has, too."""
