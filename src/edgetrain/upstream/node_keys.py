"""Keys of `node.meta` that passes of PyTorch and ExecuTorch write and read."""

from __future__ import annotations

# Of an operator: the place of the argument whose memory its result takes (`MemoryPlanningPass`).
IN_PLACE_OF = "_share_alloc_with_arg_idx"
# Of a placeholder: a changing tensor begins with its stored value; it would begin with zeros (the emitter).
STARTS_FROM_STORED = "et_init_buffer"
# Of a placeholder: the file outside the program that holds it (the emitter).
STORED_IN = "constant_tag"
# Of a placeholder: set by lowering where a gradient belongs to it, to keep it out of activations.
HAS_GRADIENT = "weight_has_gradient"


# Of any node: the modules it comes from, outermost first (`torch.export`).
MODULE_STACK = "nn_module_stack"
# Of a node of a joint graph: the forward operation it belongs to (autograd).
OPERATION = "seq_nr"
