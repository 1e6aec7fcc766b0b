"""Recomputation: the same numbers bit by bit, in less memory, by the operators that were asked for."""

from __future__ import annotations

import copy
import functools
from typing import Any

import export_models as models
import pytest
import torch
from executorch.exir import EdgeProgramManager, to_edge
from torch import Tensor, nn
from torch.export import ExportedProgram

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.export.batches import Batch
from edgetrain.export.capture import capture
from edgetrain.export.joint import make_joint
from edgetrain.export.passes import SIMPLIFICATIONS
from edgetrain.export.passes.dropout_as_mask import dropout_as_mask
from edgetrain.export.recomputation.choice import all_kept, choose
from edgetrain.export.recomputation.replay import replay
from edgetrain.export.recomputation.tape import make_tape
from edgetrain.export.steps.recompute import Recomputed, recomputed
from edgetrain.models.cifar_cnn import CifarCNN
from edgetrain.upstream.edge import edge_operators, edge_settings

edge = edge_operators().aten
POLICIES = ("none", "cheap", "blocks", "budget")


class Residual(nn.Module):
    """Inverted residuals with a smooth activation, of which backward needs input and output.
    [B, 3, 16, 16] → [B, 4]"""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(8, 32, 1),
                nn.SiLU(),
                nn.Conv2d(32, 32, 3, padding=1, groups=32),
                nn.SiLU(),
                nn.Conv2d(32, 8, 1),
            )
            for _ in range(4)
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


def cifar_cnn() -> nn.Module:
    return CifarCNN(image_size=16, num_classes=4, dropout=0.3)


CASES = {
    "cifar_cnn": (cifar_cnn, (3, 16, 16)),
    "residual": (Residual, (3, 16, 16)),
    "normalised": (models.Normalised, models.SHAPES[models.Normalised]),
    "attention": (models.Attention, models.SHAPES[models.Attention]),
}


def joint_graph(name: str, *, batch_norm: str = "frozen") -> ExportedProgram:
    """The training step of a model in edge dialect, for batches of up to 8."""
    return copy.deepcopy(edge_manager(name, batch_norm).exported_program("train"))


@functools.cache
def edge_manager(name: str, batch_norm: str) -> EdgeProgramManager:
    torch.manual_seed(0)
    factory, shape = CASES[name]
    subject = models.subject(factory(), shape, max_batch_size=8, batch_norm=batch_norm)
    captured = capture(subject, example(shape, 3))
    train = make_joint(captured).graphs["train"]
    dropout_as_mask(train)
    for simplify in SIMPLIFICATIONS:
        simplify(train)
    settings = edge_settings([torch.ops.aten.linear.default])
    return to_edge({"train": train}, compile_config=settings)


def example(shape: tuple[int, ...], size: int) -> Batch:
    return Batch({INPUTS: torch.randn(size, *shape)}, {TARGETS: torch.arange(size) % 4})


def run(program: ExportedProgram, batch: Batch) -> list[Tensor]:
    """All outputs: loss, predictions, sums, buffers, gradients."""
    signature = program.graph_signature
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    tensors = {**program.state_dict, **program.constants}
    given = iter(batch.tensors)
    values = [
        tensors[names[n.name]] if n.name in names else next(given)
        for n in program.graph.nodes
        if n.op == "placeholder"
    ]
    torch.manual_seed(1)  # dropout draws the same
    with torch.no_grad():
        return list(program.graph_module(*values))


def count(program: ExportedProgram, *targets: object) -> int:
    return sum(node.target in targets for node in program.graph.nodes)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_numbers_are_the_same(name: str, policy: str) -> None:
    program = joint_graph(name)
    batches = [example(CASES[name][1], size) for size in (1, 5)]
    expected = [run(program, batch) for batch in batches]
    recomputed(program, policy, gradients_stay=False)
    for batch, wanted in zip(batches, expected, strict=True):
        for found, value in zip(run(program, batch), wanted, strict=True):
            assert torch.equal(found, value)


def test_statistics_of_batches_change_once() -> None:
    program = joint_graph("normalised", batch_norm="train")
    batch = example(CASES["normalised"][1], 5)
    expected = run(program, batch)
    everything_again(program)
    for found, value in zip(run(program, batch), expected, strict=True):
        assert torch.equal(found, value)


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_the_same_with_everything_made_again(name: str) -> None:
    program = joint_graph(name)
    batch = example(CASES[name][1], 5)
    expected = run(program, batch)
    everything_again(program)
    for found, value in zip(run(program, batch), expected, strict=True):
        assert torch.equal(found, value)


def everything_again(program: ExportedProgram) -> None:
    """All but what is random; no policy asks for so much."""
    tape = make_tape(program, gradients_stay=True)
    assert replay(program, tape, choose(tape, set()).kept) > 0


def test_lowering_leaves_the_copies() -> None:
    """No pass of ExecuTorch merges them with what they are copies of."""
    manager = copy.deepcopy(edge_manager("residual", "frozen"))
    program = manager.exported_program("train")
    recomputed(program, "blocks", gradients_stay=False)
    convolutions = count(program, edge.convolution.default)
    assert convolutions > 13
    plans = manager.to_executorch().executorch_program.execution_plan
    plan = next(plan for plan in plans if plan.name == "train")
    called = [plan.operators[i.instr_args.op_index].name for i in kernel_calls(plan)]
    assert called.count("aten::convolution") == convolutions


def kernel_calls(plan: Any) -> list[Any]:
    instructions = plan.chains[0].instructions
    return [i for i in instructions if type(i.instr_args).__name__ == "KernelCall"]


@pytest.mark.parametrize("name", CASES)
def test_memory_falls_as_modelled(name: str) -> None:
    before: int | None = None
    for policy in POLICIES:
        program = joint_graph(name)
        result = recomputed(program, policy, gradients_stay=False)
        after = make_tape(program, gradients_stay=False)
        # Of the rewritten graph, whose operators stand in the order that was modelled.
        assert choose(after, after.maker.keys()).schedule.peak <= result.peak_after <= result.peak_before
        assert before is None or result.peak_after <= before * 257 / 256
        before = result.peak_after


def test_what_each_policy_calls_again() -> None:
    found: dict[str, Recomputed] = {}
    convolutions: dict[str, int] = {}
    for policy in POLICIES:
        program = joint_graph("residual")
        found[policy] = recomputed(program, policy, gradients_stay=False)
        convolutions[policy] = count(program, edge.convolution.default)
    assert found["none"].operators == 0
    assert found["cheap"].operators > 0
    assert found["cheap"].extra_macs == 0
    assert convolutions["none"] == convolutions["cheap"] == 13
    assert 13 < convolutions["blocks"] <= 25
    assert 0 < found["blocks"].extra_macs < 0.34
    assert found["blocks"].peak_after < found["cheap"].peak_after < found["none"].peak_after
    assert found["budget"].peak_after <= found["blocks"].peak_after


@pytest.mark.parametrize("name", ["cifar_cnn", "attention"])
def test_nothing_is_drawn_again(name: str) -> None:
    program = joint_graph(name)
    draws = count(program, edge.native_dropout.default, edge.rand.default)
    assert draws
    recomputed(program, "budget", gradients_stay=False)
    assert count(program, edge.native_dropout.default, edge.rand.default) == draws


def test_functions_of_weights_are_never_kept() -> None:
    program = joint_graph("residual")
    tape = make_tape(program, gradients_stay=False)
    choice = all_kept(tape)
    functions = {s for o in tape.forward if o.constant for s in o.makes if tape.sizes[s] >= 512}
    assert not functions & choice.kept


def test_a_budget_is_kept_with_the_least_work() -> None:
    bounds = [recomputed(joint_graph("residual"), p, gradients_stay=False) for p in ("none", "budget")]
    budgets = torch.linspace(bounds[1].peak_after, bounds[0].peak_after, 4).ceil().int().tolist()
    found = [recomputed(joint_graph("residual"), f"budget:{b}", gradients_stay=False) for b in budgets]
    for budget, result in zip(budgets, found, strict=True):
        assert result.peak_after <= budget
    macs = [result.extra_macs for result in found]
    assert macs == sorted(macs, reverse=True)
    assert macs[-1] == 0


def test_a_budget_out_of_reach_is_come_near_to() -> None:
    least = recomputed(joint_graph("residual"), "budget", gradients_stay=False).peak_after
    assert recomputed(joint_graph("residual"), "budget:10kB", gradients_stay=False).peak_after == least
