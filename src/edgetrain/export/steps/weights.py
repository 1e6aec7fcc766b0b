"""The method `weights`: everything that training changes."""

from __future__ import annotations

from dataclasses import replace

from ...config.stages import ExportCommand
from ..pipeline import Joint, Signature
from ..tensor_methods import capture_tensors, tensor_arguments


def weights_method(joint: Joint, command: ExportCommand) -> Joint:
    """Adds a method without inputs that returns trained parameters, buffers that training writes, and the
    state of an optimizer in the graph. A runtime reads and restores them through it: they are the memory
    that all methods work on."""
    train = joint.graphs["train"]
    tensors = {**train.state_dict, **train.constants}
    parameters = {name: tensors[name] for name in joint.trainable}
    buffers = {name: tensors[name] for name in joint.mutated}
    outputs = tensor_arguments("parameter", parameters, 0)
    outputs += tensor_arguments("buffer", buffers, len(outputs))
    outputs += tensor_arguments("optimizer_state", joint.states, len(outputs))
    return replace(
        joint,
        graphs={**joint.graphs, "weights": capture_tensors({**parameters, **buffers, **joint.states})},
        signatures={**joint.signatures, "weights": Signature([], outputs)},
    )
