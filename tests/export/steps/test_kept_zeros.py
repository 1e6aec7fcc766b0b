"""Programs of pruned models: of the zeros there is one mask for each gradient, and no adapter fills them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import export_models as models
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec
from edgetrain.artifacts.transforms import KeptZeros
from edgetrain.config.model import ModelConfig
from edgetrain.errors import UsageError
from edgetrain.export import ExportResult, export
from edgetrain.export.batches import Batch
from edgetrain.export.capture import LossStep, capture
from edgetrain.export.joint import gradient_names, make_joint
from edgetrain.export.pipeline import Captured, Joint
from edgetrain.export.recipes import inference_recipe
from edgetrain.export.steps.cheaper import cheaper
from edgetrain.export.steps.kept_zeros import masked_gradients, unmask_weights, weights_themselves
from edgetrain.factories import Trusted
from edgetrain.optimize.pruning import prune
from edgetrain.tasks import make_task

aten = torch.ops.aten


def pruned(kind: type[nn.Module] = models.Trained, pattern: str = "2:4") -> tuple[nn.Module, list[Any]]:
    torch.manual_seed(0)
    model = kind()
    return model, list(prune(model, kind=pattern).transforms)


def steps(model: nn.Module, **settings: Any) -> tuple[Captured, Joint]:
    """What the first steps of an export make of a model: the captured graphs, and those after `cheaper`."""
    subject = models.subject(model, models.SHAPES[type(model)], max_batch_size=4, **settings)
    example = Batch({INPUTS: torch.randn(3, *models.SHAPES[type(model)])}, {TARGETS: torch.tensor([1, 3, 0])})
    captured = weights_themselves(capture(subject, example), subject.config)
    joint = cheaper(make_joint(captured), subject.config)
    return captured, masked_gradients(joint, subject.config)


def targets(program: ExportedProgram) -> list[object]:
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


def products_of_weights(program: ExportedProgram) -> int:
    weights = program.graph_signature.inputs_to_parameters
    return sum(
        node.target is aten.mul.Tensor and any(arg.name in weights for arg in node.all_input_nodes)
        for node in program.graph.nodes
    )


def masks(program: ExportedProgram) -> int:
    weights = program.graph_signature.inputs_to_parameters
    return sum(n.target is aten.eq.Scalar and n.args[0].name in weights for n in program.graph.nodes)


def masked(program: ExportedProgram) -> set[str]:
    """The parameters whose returned gradients are masked by their own zeros."""
    found = set()
    names = program.graph_signature.inputs_to_parameters
    returned = program.graph.output_node().args[0]
    for node in returned[len(returned) - len(gradient_names(program)) :]:
        if node.target is aten.masked_fill.Scalar and node.args[1].target is aten.eq.Scalar:
            found.add(names[node.args[1].args[0].name])
    return found


def test_methods_compute_with_the_weights_themselves() -> None:
    model, transforms = pruned()
    captured, joint = steps(model)
    weights = {f"{t.module}.weight" for t in transforms}
    assert weights == {"conv.weight", "hidden.weight", "twice.weight", "head.weight"} == captured.kept_zeros
    for program in captured.graphs.values():
        assert products_of_weights(program) == 0
    train = joint.graphs["train"]
    assert products_of_weights(train) == 0
    assert masked(train) == weights
    assert masks(train) == len(weights), "one each, also of a layer that is used twice"
    assert targets(train).count(aten.linear.default) == 4


def test_gradients_are_those_of_eager() -> None:
    model, _ = pruned()
    _, joint = steps(model)
    train = joint.graphs["train"]
    batch = Batch({INPUTS: torch.randn(3, 2, 6, 6)}, {TARGETS: torch.tensor([1, 3, 0])})
    signature, given = train.graph_signature, iter(batch.tensors)
    values = [
        train.state_dict[signature.inputs_to_parameters[n.name]]
        if n.name in signature.inputs_to_parameters
        else {**train.state_dict, **train.constants}[signature.inputs_to_lifted_tensor_constants[n.name]]
        if n.name in signature.inputs_to_lifted_tensor_constants
        else next(given)
        for n in train.graph.nodes
        if n.op == "placeholder"
    ]
    with torch.no_grad():
        outputs = train.graph_module(*values)
    LossStep(model, make_task(models.CLASSES), batch)(*batch.tensors)[0].backward()
    names = gradient_names(train)
    for name, gradient in zip(names, outputs[len(outputs) - len(names) :], strict=True):
        parameter = model.get_parameter(name)
        torch.testing.assert_close(gradient, parameter.grad)
        if parameter.dim() > 1:
            assert not gradient[parameter == 0].any()
            assert gradient[parameter != 0].any()


def test_frozen_layers_have_no_masks() -> None:
    model, _ = pruned()
    for layer in (model.conv, model.hidden):
        layer.requires_grad_(False)
    _, joint = steps(model)
    assert masked(joint.graphs["train"]) == {"twice.weight", "head.weight"}
    assert masks(joint.graphs["train"]) == 2


class Shared(nn.Module):
    """A weight that is used with its zeros kept, and again without. [B, 5] → [B, 4]"""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x) + nn.functional.linear(x, self.head.weight)


def test_a_weight_that_is_also_used_whole_is_left_as_it_is() -> None:
    model = Shared()
    prune(model, 0.5, kind="unstructured")
    program = torch.export.export(model, (torch.randn(2, 5),))
    assert unmask_weights(program) == []
    assert products_of_weights(program) == 1


def test_programs_for_inference() -> None:
    model, _ = pruned()
    program = torch.export.export(model.eval(), (torch.randn(2, 2, 6, 6),))
    assert products_of_weights(program) == 5, "one layer is called twice"
    step, *_ = inference_recipe("portable").steps.captured
    changed = step(Captured({"forward": program}, {})).graphs["forward"]
    assert products_of_weights(changed) == 0
    x = torch.randn(2, 2, 6, 6)
    assert torch.equal(changed.module()(x), model(x))


def run_export(
    folder: Path, kind: type[nn.Module], optimizer: dict[str, Any], **settings: Any
) -> ExportResult:
    """Exports and verifies a pruned model: losses, gradients, and the weights after steps are eager's."""
    model, transforms = pruned(kind)
    checkpoint = Checkpoint(
        ModelConfig(name=models.factory_name(kind)),
        model.state_dict(),
        {INPUTS: InputSpec(shape=models.SHAPES[kind])},
        models.CLASSES,
        transforms=tuple(transforms),
    )
    save_checkpoint(folder / "model.pth", checkpoint)
    config = models.command(optimizer, max_batch_size=5, **settings)
    trusted = Trusted(models.factory_name(kind))
    return export(config, folder / "model.pth", folder / "model", trusted=trusted)


RULES = (
    "rules:\n- {pattern: hidden, train: 0.5}\n- {pattern: conv, train: 0.34}\n- {pattern: '*', train: all}\n"
)


THOROUGH = (pytest.mark.slow, pytest.mark.thorough)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        pytest.param({"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}, {}, id="nesterov"),
        pytest.param(
            {"momentum": 0.0, "weight_decay": 0.01},
            {"micro_batch": 2, "update_in_graph": "on", "update": "rules"},
            id="micro-batch of split layers",
        ),
        pytest.param(
            {"name": "adam", "weight_decay": 0.01},
            {"update_in_graph": "on", "recompute": "cheap"},
            id="adam",
            marks=THOROUGH,
        ),
        pytest.param({"name": "adamw"}, {"update": "last:2"}, id="last", marks=THOROUGH),
        pytest.param({}, {"update_in_graph": "off", "convolutions": "im2col"}, id="im2col", marks=THOROUGH),
        pytest.param({}, {"update": "head", "backbone": "xnnpack"}, id="backbone", marks=THOROUGH),
    ],
)
def test_updates_keep_zeros_as_eager_does(
    tmp_path: Path, optimizer: dict[str, Any], settings: dict[str, Any]
) -> None:
    if settings.get("update") == "rules":
        (tmp_path / "rules.yaml").write_text(RULES)
        settings = {**settings, "update": f"rules:{tmp_path / 'rules.yaml'}"}
    result = run_export(tmp_path, models.Trained, optimizer, **settings)
    assert result.verification.weights_after_steps < 1e-4
    program = load_program(result.program)
    assert {t.module for t in program.manifest.transforms if isinstance(t, KeptZeros)} == {
        *("conv", "hidden", "twice", "head")
    }


@pytest.mark.slow
def test_an_int8_backbone_has_plain_weights(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    calibration = tmp_path / "samples.npz"
    inputs = random.normal(size=(24, *models.SHAPES[models.Trained])).astype("float32")
    np.savez(calibration, inputs=inputs, targets=np.arange(24) % 4)
    result = run_export(
        tmp_path, models.Trained, {}, update="head", backbone="xnnpack-int8", calibration=calibration
    )
    assert result.verification.features_sqnr > 10
    operators = result.manifest.contract.methods["backbone"].operators
    assert not any(name.startswith(("aten::ne", "aten::mul")) for name in operators), operators


def test_adapters_would_fill_zeros(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n- {pattern: hidden, train: {lora: {rank: 2}}}\n")
    with pytest.raises(UsageError, match="adapter of hidden would fill the zeros that pruning left"):
        run_export(tmp_path, models.Trained, {}, update=f"rules:{rules}")
