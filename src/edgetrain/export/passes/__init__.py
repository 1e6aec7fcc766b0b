"""Graph passes, each named after what it leaves behind, each with a before/after test."""

from __future__ import annotations

from .common_subexpressions import common_subexpressions
from .dropped_aliases import dropped_aliases
from .gradients_without_inputs import gradients_without_inputs
from .kept_linear import kept_linear
from .least_masks import least_masks
from .masked_by_outputs import masked_by_outputs
from .masked_gradients import masked_gradients
from .merged_permutes import merged_permutes
from .merged_views import merged_views
from .narrow_pool_indices import narrow_pool_indices
from .reshaped_views import reshaped_views
from .summed_products import summed_products

#: What makes a joint graph cheaper and leaves it in aten, in this order.
SIMPLIFICATIONS = (
    reshaped_views,
    dropped_aliases,
    merged_permutes,
    summed_products,
    kept_linear,
    merged_views,
    masked_gradients,
    masked_by_outputs,
    gradients_without_inputs,
    narrow_pool_indices,
    least_masks,
    common_subexpressions,
)
