"""The contract of a lowered program: what every runtime knows it by."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..artifacts.contract import BATCH, Contract, Dimension, Method, TensorRecord, Update
from ..artifacts.program import locate_inline
from ..models.transforms import slices_of
from .memory.timeline import record_of
from .pipeline import Lowered, Recipe, Subject


def make_contract(lowered: Lowered, subject: Subject, recipe: Recipe) -> Contract:
    """Describes a program that trains."""
    joint, settings = lowered.edge.joint, subject.settings
    return Contract(
        dimensions={BATCH: Dimension(most=settings.planned_batch_size)},
        methods={
            name: Method(
                inputs=signature.inputs,
                outputs=signature.outputs,
                arena_bytes=lowered.arena_bytes[name],
                operators=lowered.operators[name],
                memory=record_of(lowered.timelines[name]),
            )
            for name, signature in joint.signatures.items()
        },
        tensors=_tensors(lowered, subject, external=recipe.external),
        metrics=subject.task.all_metrics,
        best=list(subject.task.best),
        optimizer=joint.optimizer,
        splits_batches=settings.micro_batch is not None,
    )


def _tensors(lowered: Lowered, subject: Subject, *, external: bool) -> list[TensorRecord]:
    edge, offsets = lowered.edge, lowered.weight_offsets
    trained: Update = "graph" if edge.joint.optimizer is not None else "optimizer"
    never = {name: tensor for name, tensor in edge.tensors.items() if name not in offsets}
    constants = {} if external else locate_inline(lowered.program, never)
    parameters = dict(subject.module.named_parameters(remove_duplicate=False))
    slices = slices_of(subject.transforms, edge.tensors)
    aliases = _aliases(subject.module, edge.tensors)
    return [
        TensorRecord(
            name=name,
            kind="parameter" if name in parameters else "buffer",
            shape=list(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            update=trained
            if name in edge.joint.trainable
            else "graph"
            if name in edge.joint.mutated
            else "none",
            of=slices.get(name),
            aliases=aliases.get(name, []),
            arena_offset=offsets.get(name),
            constant_index=constants.get(name),
        )
        for name, tensor in edge.tensors.items()
    ] + [
        TensorRecord(
            name=name,
            kind="optimizer_state",
            shape=list(state.shape),
            dtype=str(state.dtype).removeprefix("torch."),
            update="graph",
            arena_offset=offsets[name],
        )
        for name, state in edge.joint.states.items()
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
