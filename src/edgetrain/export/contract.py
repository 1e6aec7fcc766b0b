"""The contract of a lowered program: what every runtime knows it by."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..artifacts.contract import BATCH, Contract, Dimension, Method, TensorRecord
from ..artifacts.program import locate_inline
from .pipeline import Lowered, Recipe, Subject


def make_contract(lowered: Lowered, subject: Subject, recipe: Recipe) -> Contract:
    """Describes a program that trains."""
    signatures = lowered.edge.joint.signatures
    return Contract(
        dimensions={BATCH: Dimension(most=subject.settings.max_batch_size)},
        methods={
            name: Method(
                inputs=signature.inputs,
                outputs=signature.outputs,
                arena_bytes=lowered.arena_bytes[name],
                operators=lowered.operators[name],
            )
            for name, signature in signatures.items()
        },
        tensors=_tensors(lowered, subject.module, external=recipe.external),
        metrics=subject.task.all_metrics,
        best=list(subject.task.best),
    )


def _tensors(lowered: Lowered, module: nn.Module, *, external: bool) -> list[TensorRecord]:
    edge, offsets = lowered.edge, lowered.weight_offsets
    never = {name: tensor for name, tensor in edge.tensors.items() if name not in offsets}
    constants = {} if external else locate_inline(lowered.program, never)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    aliases = _aliases(module, edge.tensors)
    return [
        TensorRecord(
            name=name,
            kind="parameter" if name in parameters else "buffer",
            shape=list(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            update="optimizer"
            if name in edge.joint.trainable
            else "graph"
            if name in edge.joint.mutated
            else "none",
            aliases=aliases.get(name, []),
            arena_offset=offsets.get(name),
            constant_index=constants.get(name),
        )
        for name, tensor in edge.tensors.items()
    ]


def _aliases(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Other names of the program's tensors in the model: capture keeps one of those of a tied weight."""
    state = module.state_dict(keep_vars=True)
    names: dict[int, list[str]] = {}
    for name, tensor in state.items():
        names.setdefault(id(tensor), []).append(name)
    return {
        name: [other for other in names[id(state[name])] if other != name]
        for name in tensors
        if name in state
    }
