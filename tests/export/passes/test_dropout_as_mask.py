"""Before and after: dropout as a mask, in joint graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from edgetrain.export.joint import add_backward
from edgetrain.export.passes import SIMPLIFICATIONS
from edgetrain.export.passes.dropout_as_mask import dropout_as_mask, has_dropout

aten = torch.ops.aten
INPUT = torch.arange(1.0, 401.0).reshape(4, 100) / 100


class TwoDropouts(nn.Module):
    """A module and a function; the weight's gradient is the input times the whole mask."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(p)
        self.weight = nn.Parameter(torch.ones(100))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = nn.functional.dropout(self.drop(x * self.weight), 0.25, self.training)
        return y.sum(), y.detach()


def joint(p: float = 0.5, *, training: bool = True) -> ExportedProgram:
    model = TwoDropouts(p).train(training)
    batch = Dim("batch", min=1, max=8)
    program = add_backward(export(model, (INPUT,), dynamic_shapes=({0: batch},), strict=True))
    for change in (dropout_as_mask, *SIMPLIFICATIONS):
        change(program)
    return program


def targets(program: ExportedProgram) -> list[object]:
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


def run(program: ExportedProgram) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, output, gradient of the weight)."""
    weight = dict(program.named_parameters())["weight"].detach()
    loss, output, gradient = program.graph_module(weight, INPUT)
    return loss, output, gradient


def test_only_scales_are_dropped_out() -> None:
    program = joint()
    dropouts = [n for n in program.graph.nodes if n.target is aten.native_dropout.default]
    assert len(dropouts) == 2
    scales = [node.args[0] for node in dropouts]
    assert all(scale.target is aten.full_like.default for scale in scales)
    assert [scale.args[1] for scale in scales] == [1 / (1 - 0.5), 1 / (1 - 0.25)]
    # The values ExecuTorch's kernel returns are not scaled rightly; the mask is right.
    assert all(user.args[1] == 1 for node in dropouts for user in node.users)
    assert aten.native_dropout_backward.default not in targets(program)
    assert has_dropout(program)


def test_both_directions_use_one_mask() -> None:
    torch.manual_seed(0)
    loss, output, gradient = run(joint())
    kept = output != 0
    assert 0.2 < kept.float().mean() < 0.55, "0.5 * 0.75 of the values are kept"
    torch.testing.assert_close(output[kept], INPUT[kept] / (0.5 * 0.75))
    torch.testing.assert_close(gradient, output.sum(0))
    torch.testing.assert_close(loss, output.sum())


def test_zero_probability_everywhere_is_no_dropout() -> None:
    """What `without_dropout` does to a finished program."""
    program = joint()
    for node in program.graph.nodes:
        if node.target is aten.native_dropout.default:
            node.update_arg(1, 0.0)
            node.args[0].update_arg(1, 1.0)
    program.graph_module.recompile()
    _, output, gradient = run(program)
    assert torch.equal(output, INPUT)
    torch.testing.assert_close(gradient, INPUT.sum(0))


def test_evaluation_mode_has_none() -> None:
    program = joint(training=False)
    assert not has_dropout(program)
    assert torch.equal(run(program)[1], INPUT)
