"""What a program with its own optimizer takes, gives and keeps; `update_in_graph` writes the arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor

from ...artifacts.contract import Argument
from ...config.stages import ExportCommand
from ..optimizers.state import states_of, sums_of, told_of
from ..pipeline import Joint, Signature
from ..tensor_methods import capture_tensors, tensor_arguments


def optimizer_in_graph(joint: Joint, command: ExportCommand) -> Joint:
    """Has `train` take hyperparameters and return the tensors it changed. With `auto`, `gradients` is what
    `train` would be without that. Where batches are run in parts, `train` adds their gradients up, and
    `update` makes the step of the sum."""
    train = joint.signatures["train"]
    tensors = {**joint.graphs["train"].state_dict, **joint.graphs["train"].constants}
    parameters = {name: tensors[name] for name in joint.trainable}
    states = states_of(command.optimizer, parameters)
    told = told_of(command.optimizer)
    graphs, signatures = dict(joint.graphs), dict(joint.signatures)
    if command.export.update_in_graph == "auto":
        graphs["gradients"], signatures["gradients"] = graphs["train"], train
    own = [output for output in train.outputs if output.role not in ("gradient", "parameter")]
    if command.export.micro_batch is None:
        signatures["train"] = _signature(train.inputs, told, own, parameters, states)
    else:
        sums = sums_of(parameters)
        signatures["train"] = _signature(train.inputs, ["keep"], own, {}, sums)
        graphs["update"] = capture_tensors(sums)
        signatures["update"] = _signature([], ["divisor", *told], [], parameters, states)
        states = {**states, **sums}
    return replace(joint, graphs=graphs, signatures=signatures, optimizer=command.optimizer, states=states)


def _signature(
    inputs: Iterable[Argument],
    told: Iterable[str],
    outputs: Iterable[Argument],
    parameters: Mapping[str, Tensor],
    states: Mapping[str, Tensor],
) -> Signature:
    given, returned = list(inputs), list(outputs)
    for name in told:
        given.append(Argument(name=name, role="hyperparameter", index=len(given), dtype="float32", shape=[]))
    returned += tensor_arguments("parameter", parameters, len(returned))
    returned += tensor_arguments("optimizer_state", states, len(returned))
    return Signature(given, returned)
