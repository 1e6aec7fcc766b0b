"""What a model is worth and what it costs: after each step of a recipe, the same figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..artifacts.optimization import Measured
from ..data import BatchLoader, Dataset
from ..engine.metrics import Figures, Meter
from ..export.inference import write_inference_program
from ..models.calling import call_model
from ..models.transforms.zeros import is_sparse
from ..reporting import Reporter
from ..runtimes.inference import InferenceProgram
from ..runtimes.timing import median_ms
from ..tasks import Task
from ..tasks.outputs import named_outputs

Tensors = Mapping[str, Tensor]
Forward = Callable[[Tensors], dict[str, Tensor]]


def measure(
    step: str,
    model: nn.Module,
    example: Tensors,
    dataset: Dataset | None,
    task: Task,
    batch_size: int,
    folder: Path,
    reporter: Reporter,
) -> Measured:
    """Measures a float model.

    Args:
        example: inputs of a batch, by name.
        folder: for a program that is made to be timed.
    """
    model.eval()
    path = folder / "measured.pte"
    write_inference_program(model, example, path)
    figures = {} if dataset is None else evaluate(forward_of(model), dataset, task, batch_size, reporter)
    return Measured(
        step=step,
        figures=figures,
        parameters=count_parameters(model),
        zeros=count_zeros(model),
        multiply_adds=count_multiply_adds(model, example),
        program_bytes=path.stat().st_size,
        latency_ms=latency_of(path, example),
    )


def latency_of(program: Path, example: Tensors) -> float:
    """Median time of a single sample in the runtime, on one thread [ms]."""
    one = [tensor[:1].contiguous() for tensor in example.values()]
    loaded = InferenceProgram(program, threads=1)
    return median_ms(lambda: loaded.run(*one))


def forward_of(model: nn.Module) -> Forward:
    """A model's outputs by name."""
    return lambda inputs: named_outputs(call_model(model, inputs))


def forward_of_program(program: Path, outputs: list[str]) -> Forward:
    """A program's outputs by name, one sample after the other."""
    loaded = InferenceProgram(program)

    def run(inputs: Tensors) -> dict[str, Tensor]:
        rows = []
        for row in range(len(next(iter(inputs.values())))):
            found = loaded.run(*(tensor[row : row + 1] for tensor in inputs.values()))
            rows.append([tensor.clone() for tensor in found])
        return {name: torch.cat(parts) for name, parts in zip(outputs, zip(*rows, strict=True), strict=True)}

    return run


@torch.no_grad()
def evaluate(forward: Forward, dataset: Dataset, task: Task, batch_size: int, reporter: Reporter) -> Figures:
    """The task's metrics on the test split."""
    loader = BatchLoader(dataset.test, dataset.preprocessing, batch_size)
    meter = Meter()
    with reporter.progress("validation", total=len(loader)) as bar:
        for batch in loader.epoch(0):
            outputs = forward(batch.inputs)
            loss = task.loss(outputs, batch.targets)
            meter.add(task.sums(outputs, batch.targets, loss), len(batch))
            bar.advance()
    return meter.figures(task.all_metrics)


def count_parameters(model: nn.Module) -> int:
    """Numbers in all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_zeros(model: nn.Module) -> int:
    """Zeros in the weights of layers that keep them."""
    weights = (m.get_parameter("weight") for m in model.modules() if is_sparse(m))
    return sum(weight.numel() - int(weight.count_nonzero()) for weight in weights)


def count_multiply_adds(model: nn.Module, example: Tensors) -> int:
    """Multiply-adds of one sample in matrix products and convolutions, as PyTorch counts them."""
    one = {name: tensor[:1] for name, tensor in example.items()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call_model(model, one)
    return counter.get_total_flops() // 2
