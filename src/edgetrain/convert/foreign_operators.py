"""The operators that a program or a script from elsewhere may name.

Those that the graphs of checkpoints may have, and further ones that are harmless but have no place there:
they draw random numbers, raise errors, compute what no program of ours does, or belong to Python.
"""

from __future__ import annotations

import re

from ..models.transforms.graphs.operators import is_computation

_ATEN = frozenset(
    """
    rand rand_like randn randn_like randint randint_like randperm normal normal_ uniform_ bernoulli
    bernoulli_ multinomial exponential_ random_ rrelu_with_noise gaussian poisson
    _assert_async _assert_scalar _assert_tensor_metadata sym_constrain_range sym_constrain_range_for_size
    sym_is_contiguous _local_scalar_dense item numel dim size stride is_nonzero is_floating_point
    is_complex is_same_size is_contiguous detach_ requires_grad_ result_type can_cast
    _native_multi_head_attention _transformer_encoder_layer_fwd
    _scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu
    bincount bucketize searchsorted histc unique_consecutive unique_dim _unique _unique2 cartesian_prod
    combinations tril_ triu_ block_diag vander cov corrcoef quantile nanquantile nanmedian mode
    logspace trapz trapezoid cumulative_trapezoid renorm cosine_embedding_loss cross_entropy_loss
    nll_loss nll_loss_nd nll_loss_forward mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy
    binary_cross_entropy_with_logits kl_div hinge_embedding_loss margin_ranking_loss triplet_margin_loss
    multi_margin_loss soft_margin_loss poisson_nll_loss
    hann_window hamming_window blackman_window bartlett_window kaiser_window
    fft_rfftn fft_irfftn fft_fftn fft_ifftn fft_hfft fft_ihfft fft_fftfreq fft_rfftfreq fft_fftshift
    fft_ifftshift linalg_inv linalg_inv_ex linalg_solve linalg_det linalg_slogdet linalg_cholesky
    linalg_cholesky_ex linalg_eigh linalg_svd linalg_qr linalg_matrix_norm linalg_matrix_power
    linalg_multi_dot linalg_diagonal linalg_pinv linalg_vecdot linalg_norm inverse det logdet slogdet
    cholesky svd qr matrix_exp matrix_power pinverse mvlgamma polygamma igamma igammac i0 nextafter
    ldexp frexp heaviside gcd lcm erfinv special_bessel_j0 special_bessel_j1 special_bessel_y0
    special_bessel_y1 special_digamma special_entr special_erfc special_erfcx special_erfinv special_exp2
    special_gammaln special_i0 special_i0e special_i1 special_i1e special_log_ndtr special_log_softmax
    special_logit special_logsumexp special_modified_bessel_i0 special_modified_bessel_i1
    special_multigammaln special_ndtr special_ndtri special_polygamma special_psi special_round
    special_sinc special_softmax special_xlog1py special_zeta
    arccos arccosh arcsin arcsinh arctan arctan2 arctanh allclose argwhere diagflat isin isreal row_stack
    fake_quantize_per_channel_affine fake_quantize_per_tensor_affine gradient histogram index_reduce range
    pad_sequence is_signed is_conj is_neg cholesky_solve sum_to_size storage_offset nll_loss2d
    max_unpool2d max_unpool3d fractional_max_pool2d avg_pool2d lp_pool1d lp_pool2d embedding_bag
    _embedding_bag local_response_norm embedding_renorm_ batch_norm_elemt cumsum_ copysign_ clamp_min_
    """.split()  # noqa: SIM905
)
# Of TorchScript: lists, dictionaries, strings and numbers of Python.
_SCRIPT = frozenset(
    """
    Int Float Bool Complex IntImplicit FloatImplicit ScalarImplicit ComplexImplicit Size len list dict str
    append extend insert pop popitem remove reverse clear keys values items get setdefault update
    __contains__ __getitem__ _set_item __delitem__ delete __is__ __isnot__ __not__ __derive_index
    __range_length __interpolate __upsample sorted sort slice count index find rfind format percentFormat
    join split rsplit splitlines strip lstrip rstrip startswith endswith lower upper capitalize title
    replace isdigit isalpha isalnum isspace islower isupper isdecimal isnumeric isidentifier isprintable
    center ljust rjust zfill expandtabs partition rpartition casefold swapcase ord chr hex oct bin hash
    ceil floor divmod degrees radians gamma factorial modf fabs factorial isqrt floordiv mathremainder warn
    cpu type_as float half double long int bool device dtype layout shape is_cuda is_cpu is_leaf is_sparse
    is_quantized is_mkldnn is_meta requires_grad get_device ndim element_size set_grad_enabled
    is_grad_enabled numel nbytes itemsize data name names tensor as_tensor tensor_split T H
    _upsample_lanczos2d_aa ctc_loss fractional_max_pool3d multilabel_margin_loss broadcast_shapes
    _get_tracing_state to_padded_tensor _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
    _infer_size _no_grad_embedding_renorm_ grad_sum_to_size is_autocast_enabled is_scripting
    """.split()  # noqa: SIM905
)
_PRIM = frozenset(
    """
    NumToTensor RaiseException unchecked_unwrap_optional unchecked_cast TupleIndex TupleUnpack tolist data
    device dtype shape layout is_cuda is_cpu is_quantized is_sparse is_mkldnn is_meta requires_grad itemsize
    name abs min max type index rangelist ListIndex Print isinstance min_self max_self sym_int
    unchecked_unwrap_optional EnumName EnumValue Uninitialized is_xpu is_mps is_vulkan is_ipu is_hpu is_maia
    is_mtia is_xla is_nested ndim nbytes names grad
    """.split()  # noqa: SIM905
)
_HIGHER_ORDER = {"cond", "map_impl", "scan", "while_loop", "wrap_with_set_grad_enabled", "wrap_with_autocast"}
_QUANTIZED = re.compile(
    r"(?:de)?quantize_per_(?:tensor|channel|channel_group|token)|choose_qparams(?:_symmetric|_per_token\w*)?"
)
_PRIMS = {"convert_element_type", "broadcast_in_dim", "view_of", "split_dim", "squeeze", "transpose", "iota"}
_SIZES = re.compile(
    r"_operator\.(?:add|sub|mul|floordiv|truediv|mod|neg|pow|getitem|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(?:ceil|floor|trunc)|torch\.sym_(?:float|int|ite|max|min|not|sum|sqrt)"
)


def is_program_operator(target: str) -> bool:
    """Whether a node of an exported program may call this: `torch.ops.aten.add.Tensor`, `_operator.mul`."""
    if _SIZES.fullmatch(target):
        return True
    parts = target.split(".")
    if parts[:2] != ["torch", "ops"] or not all(re.fullmatch(r"[A-Za-z_]\w*", part) for part in parts):
        return False
    if len(parts) == 4:
        return parts[2] == "higher_order" and parts[3] in _HIGHER_ORDER
    if len(parts) != 5:
        return False
    namespace, name = parts[2:4]
    if namespace == "aten":
        return is_computation(name, parts[4]) or name in _ATEN
    return (namespace == "quantized_decomposed" and bool(_QUANTIZED.fullmatch(name))) or (
        namespace == "prims" and name in _PRIMS
    )


def is_script_operator(namespace: str, name: str) -> bool:
    """Whether a script may call this: `torch.add` is ("aten", "add")."""
    if namespace == "aten":
        return name in _ATEN or name in _SCRIPT or is_computation(name)
    return namespace == "prim" and name in _PRIM
