"""The frozen layers as a method of their own, for a backend that computes them faster."""

from __future__ import annotations

from dataclasses import replace

from torch.export import ExportedProgram

from ...artifacts.contract import BACKBONE, Argument
from ...config.stages import ExportCommand
from ..backbone import EagerHead, Frontier, backbone_of, find_frontier, head_of
from ..capture import export_graph, tensor_argument
from ..pipeline import Captured, Quantized, Signature
from ..quantization import quantize

# Without targets or gradients, and in evaluation mode.
_SOURCE = "predict"


def backbone(captured: Captured, command: ExportCommand) -> Captured:
    """Cuts what no trained parameter, target or random number takes part in off all methods. It becomes the
    method `backbone`, (inputs) → features, which the others then take in place of the inputs.

    Raises:
        UsageError: no frozen layer lies before the first that is trained.
    """
    kind = command.export.backbone
    frontier = find_frontier(captured.graphs, captured.signatures, f"--backbone {kind}")
    front = backbone_of(captured.graphs[_SOURCE], frontier, _SOURCE)
    features = _features(front, frontier)
    graphs, signatures = {}, {}
    for name, program in captured.graphs.items():
        graphs[name], taken = head_of(program, frontier, name)
        signatures[name] = _behind(captured.signatures[name], [features[feature] for feature in taken])
    quantized = None
    if kind == "xnnpack-int8":
        outputs = [a.name for a in captured.signatures[_SOURCE].outputs if a.role == "output"]
        quantized = Quantized(
            front.module(check_guards=False),
            EagerHead(graphs[_SOURCE], outputs, captured.kept_zeros),
            captured.samples,
            frontier.names,
        )
        front = _quantized(front, captured, command.export.planned_batch_size)
    graphs[BACKBONE] = front
    signatures[BACKBONE] = Signature(captured.signatures[_SOURCE].inputs, list(features.values()))
    return replace(captured, graphs=graphs, signatures=signatures, quantized=quantized)


def _features(front: ExportedProgram, frontier: Frontier) -> dict[str, Argument]:
    """The features as outputs, by name."""
    values = {node.name: node.meta["val"] for node in front.graph.nodes if node.op != "output"}
    return {
        name: tensor_argument(name, "output", index, values[node])
        for index, (name, node) in enumerate(
            zip(frontier.names, map(str, front.graph_signature.user_outputs), strict=True)
        )
    }


def _behind(signature: Signature, features: list[Argument]) -> Signature:
    """A method's signature with features in place of its inputs."""
    taken = [feature.model_copy(update={"role": "input"}) for feature in features]
    taken += [argument for argument in signature.inputs if argument.role != "input"]
    numbered = [argument.model_copy(update={"index": index}) for index, argument in enumerate(taken)]
    return Signature(numbered, signature.outputs)


def _quantized(front: ExportedProgram, captured: Captured, batch: int) -> ExportedProgram:
    inputs = [captured.samples[argument.name] for argument in captured.signatures[_SOURCE].inputs]
    count = min(len(inputs[0]), batch)
    # One is no example of several: tracing takes it for a constant.
    example = [
        tensor[[i % len(tensor) for i in range(count if batch == 1 else max(2, count))]] for tensor in inputs
    ]
    return export_graph(quantize(front, inputs, len(example[0])), example, batch, strict=False)
