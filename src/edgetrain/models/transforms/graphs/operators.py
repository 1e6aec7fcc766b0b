"""What a graph may call: operators that compute, by name, and nothing that a file could look up elsewhere.

An ATen operator is allowed if its name stands here. None of these touches files, storages, streams or the
state of a random generator, and none trusts its arguments with memory that it doesn't check.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from ....errors import InputError
from ....upstream.operators import aten_operator, is_operator, schema_arguments, schema_returns
from .attention import attention

_ATEN_BY_KIND = {
    "numbers by numbers": """
        abs absolute acos acosh add addcdiv addcmul angle asin asinh atan atan2 atanh bitwise_and
        bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max
        clamp_min clip copysign cos cosh deg2rad digamma div divide eq equal erf erfc erfinv exp exp2
        expm1 fix float_power floor floor_divide fmax fmin fmod frac ge greater greater_equal gt hypot
        isclose isfinite isinf isnan isneginf isposinf le lerp less less_equal lgamma log log10 log1p
        log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt masked_fill
        maximum minimum mul multiply nan_to_num ne neg negative not_equal positive pow rad2deg
        reciprocal remainder round rsqrt rsub sgn sigmoid sign signbit sin sinc sinh special_erf
        special_expit special_expm1 special_log1p special_xlogy sqrt square sub subtract tan tanh
        true_divide trunc where xlogy __and__ __or__ __xor__ __lshift__ __rshift__
    """,
    "activations and dropout": """
        alpha_dropout celu dropout elu feature_alpha_dropout feature_dropout gelu glu hardshrink
        hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_softmax _log_softmax mish
        native_dropout prelu _prelu_kernel relu relu6 rrelu selu silu softmax _softmax softplus
        softshrink threshold
    """,
    "sums and orders": """
        all amax amin aminmax any argmax argmin argsort count_nonzero cummax cummin cumprod cumsum diff
        dist frobenius_norm kthvalue linalg_norm linalg_vector_norm logcumsumexp logsumexp max mean
        median min msort nanmean nansum nonzero norm nuclear_norm prod sort std std_mean sum topk trace
        var var_mean
    """,
    "matrices": """
        addbmm addmm addmv addr baddbmm bilinear bmm cdist _cdist_forward chain_matmul cosine_similarity
        cross dot einsum ger inner kron linalg_cross linalg_matmul linear matmul mm mv outer
        pairwise_distance _pdist_forward pdist tensordot vdot
    """,
    "layers": """
        adaptive_avg_pool1d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_avg_pool3d
        _adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
        affine_grid_generator avg_pool1d avg_pool2d avg_pool3d batch_norm channel_shuffle col2im conv1d
        conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution
        _convolution embedding grid_sampler grid_sampler_2d grid_sampler_3d group_norm gru gru_cell
        im2col instance_norm layer_norm lstm lstm_cell max_pool1d max_pool1d_with_indices max_pool2d
        max_pool2d_with_indices max_pool3d max_pool3d_with_indices native_batch_norm
        _native_batch_norm_legit _native_batch_norm_legit_no_training native_channel_shuffle
        native_group_norm native_layer_norm one_hot pixel_shuffle pixel_unshuffle rms_norm rnn_relu
        rnn_relu_cell rnn_tanh rnn_tanh_cell scaled_dot_product_attention upsample_bicubic2d
        _upsample_bicubic2d_aa upsample_bilinear2d _upsample_bilinear2d_aa upsample_linear1d
        upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
        _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_trilinear3d
    """,
    "shapes and places": """
        adjoint alias as_strided atleast_1d atleast_2d atleast_3d broadcast_tensors broadcast_to cat
        chunk clone column_stack concat concatenate constant_pad_nd contiguous copy detach diag
        diag_embed diagonal diagonal_scatter dsplit dstack expand expand_as flatten flip fliplr flipud
        gather hsplit hstack index index_add index_copy index_fill index_put index_select lift_fresh
        lift_fresh_copy masked_scatter masked_select matrix_H meshgrid mH moveaxis movedim mT narrow
        numpy_T pad _pad_circular permute ravel reflection_pad1d reflection_pad2d reflection_pad3d
        repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d reshape
        reshape_as _reshape_alias roll rot90 scatter scatter_add scatter_reduce select select_scatter
        slice slice_scatter split split_with_sizes squeeze stack swapaxes swapdims t take take_along_dim
        tensor_split tile to _to_copy transpose tril triu type_as unbind unflatten unfold unsafe_chunk
        unsafe_split unsafe_split_with_sizes _unsafe_view unsqueeze view view_as vsplit vstack
    """,
    "new tensors": """
        arange empty empty_like empty_strided eye fill full full_like linspace logspace new_empty
        new_full new_ones new_zeros ones ones_like scalar_tensor tril_indices triu_indices zero zeros
        zeros_like
    """,
    "complex numbers": """
        complex conj _conj conj_physical _conj_physical fft_fft fft_fft2 fft_ifft fft_ifft2 fft_irfft
        fft_irfft2 fft_rfft fft_rfft2 _fft_c2c _fft_c2r _fft_r2c imag istft polar real resolve_conj
        resolve_neg stft view_as_complex view_as_real
    """,
    "sizes": """
        sym_numel sym_size sym_stride
    """,
}
_ATEN = frozenset(" ".join(_ATEN_BY_KIND.values()).split())
# Results that a graph may hand on.
_RESULTS = {"Tensor", "List[Tensor]", "int", "float", "bool", "number"}

# Other functions, all of numbers and sizes but the last.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        f"operator.{name}": getattr(operator, name)
        for name in [
            "add",
            "eq",
            "floordiv",
            "ge",
            "getitem",
            "gt",
            "le",
            "lt",
            "mod",
            "mul",
            "ne",
            "neg",
            "sub",
            "truediv",
        ]
    },
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    **{f"torch.{name}": getattr(torch, name) for name in ("sym_float", "sym_int", "sym_max", "sym_min")},
    "attention": attention,
}
_NAMES = {id(function): name for name, function in _FUNCTIONS.items()}


def operator_named(name: str) -> Callable[..., Any]:
    """The function that a graph calls by a name.

    Raises:
        InputError: it is none that a graph may call.
    """
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    namespace, _, rest = name.partition(".")
    short, _, overload = rest.partition(".")
    # The names are checked before anything is looked up by them.
    if namespace == "aten" and is_computation(short, overload):
        return aten_operator(short, overload)
    raise InputError(f"a graph calls {name!r:.80}, which is no operator that a checkpoint's model may have")


def is_computation(short: str, overload: str | None = None) -> bool:
    """Whether an ATen operator is one of those that compute, as in `add_` (any overload of it) or `add_`,
    `Tensor`."""
    if _base(short) not in _ATEN:
        return False
    if overload is None:
        return True
    found = aten_operator(short, overload)
    return found is not None and _computes(found, in_place=_base(short) != short)


def name_of_operator(function: Any) -> str | None:
    """The name by which `operator_named` finds a function; None if it doesn't."""
    if id(function) in _NAMES:
        return _NAMES[id(function)]
    name = str(function)
    if not is_operator(function):
        return None
    try:
        return name if operator_named(name) is function else None
    except InputError:
        return None


def check_arguments(name: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> None:
    """Compares numbers and names of arguments with what a function takes.

    Raises:
        InputError: they don't fit.
    """
    if is_operator(function):
        taken = schema_arguments(function)
        places = [a.name for a in taken if not a.kwarg_only]
        needed = [a.name for a in taken if not a.has_default_value()]
        known = {a.name for a in taken}
    else:
        parameters = inspect.signature(function).parameters.values()
        places = [p.name for p in parameters]
        needed = [p.name for p in parameters if p.default is p.empty]
        known = set(places) if function is attention else set()
    given = {*places[: len(args)], *kwargs}
    if len(args) > len(places) or not kwargs.keys() <= known or not set(needed) <= given:
        raise InputError(f"a graph calls {name} with other arguments than it takes")
    if is_operator(function) or function is attention:
        return
    if not all(isinstance(value, Node | int | float) for value in args):
        raise InputError(f"a graph calls {name} with something else than numbers and results")
    if function is operator.getitem and not (isinstance(args[0], Node) and type(args[1]) is int):
        raise InputError(f"a graph calls {name} with something else than a result and a place in it")


def _base(name: str) -> str:
    """Of an operator that writes into its first argument, what it computes."""
    return name[:-1] if name.endswith("_") and not name.startswith("__") else name


def _computes(function: Any, *, in_place: bool) -> bool:
    """Whether it gives tensors or numbers, and writes into its first argument or nothing."""
    arguments = schema_arguments(function)
    written = [i for i, a in enumerate(arguments) if a.alias_info is not None and a.alias_info.is_write]
    results = [str(result.type) for result in schema_returns(function)]
    return written == ([0] if in_place else []) and bool(results) and set(results) <= _RESULTS
