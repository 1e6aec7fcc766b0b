"""Before and after: graphs that write into their inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.capture import export_graph

CLONE = torch.ops.aten.clone.default


class Itself(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sub_(0.5).mul_(2.0)


class Added(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return x * 2


class View(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.flatten(1).clamp_(-0.1, 0.1)
        x[:, :1] = 0
        return x


class Chunk(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        first, _ = x.chunk(2, 1)
        first.mul_(3)
        return x.sum(1)


class WithoutGradient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x.relu_()
        return x + 1


class Second(nn.Module):
    """Writes one of its inputs."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        b.add_(a)
        return b - 3


class Elsewhere(nn.Module):
    """Writes what it has made itself, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = x * 2
        y[:, 0].relu_()
        return y.add_(x)


def copies(program: torch.export.ExportedProgram) -> list[str]:
    return [node.args[0].name for node in program.graph.nodes if node.target is CLONE]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", [Itself, Added, View, Chunk, WithoutGradient, Second])
def test_what_is_written_is_a_copy(kind: type[nn.Module], strict: bool) -> None:
    torch.manual_seed(0)
    model = kind()
    count = 2 if kind is Second else 1
    inputs = tuple(torch.randn(3, 4, 2) for _ in range(count))
    expected = model(*(x.clone() for x in inputs))
    program = export_graph(model, tuple(x.clone() for x in inputs), 8, strict=strict)
    assert copies(program) == list(program.graph_signature.user_inputs)[-1:]
    functional = program.run_decompositions()
    assert not functional.graph_signature.user_inputs_to_mutate
    before = [x.clone() for x in inputs]
    for found in (
        program.module(check_guards=False)(*inputs),
        functional.module(check_guards=False)(*inputs),
    ):
        torch.testing.assert_close(found, expected)
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True)), "the caller's batch"


def test_other_inputs_are_taken_as_they_are() -> None:
    program = export_graph(Elsewhere(), (torch.randn(3, 4),), 8)
    assert copies(program) == []
