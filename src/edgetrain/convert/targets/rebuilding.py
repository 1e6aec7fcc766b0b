"""How a model is built again by whoever reads what was made of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import GraphModule

from ...artifacts.transforms import GRAPH, Transform
from ...config.model import ModelConfig
from ...errors import InputError
from ...models.transforms.graphs import NotPlainError, build_graph, describe_graph
from ..source import Captured
from .job import Job


@dataclass(frozen=True)
class Rebuilt:
    """A model with all that it takes to build it again.

    Attributes:
        module: the model, built from that and filled.
        state: its parameters and buffers by name.
        batch: the only batch size it takes; None where any will do.
    """

    module: nn.Module
    model: ModelConfig
    transforms: tuple[Transform, ...]
    state: dict[str, Tensor]
    batch: int | None


def rebuild(job: Job) -> Rebuilt:
    """The source's own model where it names one; else the graph that was captured from it, as a record.

    Raises:
        InputError: the graph can't be written down.
    """
    source = job.source
    captured = source.captured(job.example(source.batch or 2))
    if source.model is not None:
        return Rebuilt(captured.module, source.model, source.transforms, source.state, captured.batch)
    return _as_graph(captured, job)


def _as_graph(captured: Captured, job: Job) -> Rebuilt:
    assert isinstance(captured.module, GraphModule)
    try:
        record, held = describe_graph(captured.module, list(job.inputs))
    except NotPlainError as error:
        raise InputError(
            f"{job.origin} can't be kept as plain data, since {error}; name its model with --model, or "
            "convert it with --to pte"
        ) from error
    module = build_graph(record)
    # Counters of batch norm are no part of the graph, but of the file.
    state = job.source.state
    held |= {name: state[name] for name in held if name in state and state[name].shape == held[name].shape}
    module.load_state_dict(held)
    return Rebuilt(module.eval(), ModelConfig(name=GRAPH), (record,), held, captured.batch)
