"""`.pt2`: programs written by torch.export.save."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from ...artifacts.specs import INPUTS
from ...config.convert import ConvertConfig
from ...errors import InputError, UsageError
from ...upstream.programs import exported_schema_version
from ..calling import flat_outputs
from ..kinds import Identified
from ..layers_put_back import module_of_program
from ..rewritten_program import rewritten_program
from ..source import Captured, Runnable, Source
from ..specs import ModelInput, parse_input
from ..weights import find_weights
from .named_model import source_of_weights


def read_exported_program(found: Identified, config: ConvertConfig) -> Source:
    """Loads a program; with `--model` only its weights are taken.

    Raises:
        InputError: damaged, of a newer format, or in need of `trust_pickle`.
    """
    program = _load(found, config.trust_pickle)
    origin = str(found.path)
    if config.model is not None:
        return source_of_weights(
            find_weights(program.state_dict, origin), config, "exported program", found.path
        )
    if config.input_value or config.output_name is not None or not config.batched:
        raise UsageError(
            f"{origin} has been captured as it is called: export it again with the arguments and outputs "
            "that are wanted, or name its model with --model"
        )
    inputs, batch = _inputs(program, origin, [spec for _, spec in map(parse_input, config.input_shape)])
    structure = program.call_spec.in_spec
    nested = structure is not None and _is_nested(structure, len(inputs))

    def capture(_: Sequence[Tensor], __: Runnable) -> Captured:
        module = module_of_program(program, origin)
        if nested:
            _flatten(module, program.call_spec.out_spec)
        return Captured(module, batch)

    return Source(
        format="exported program",
        reference=_Flat(program) if nested else program.module(),
        state=dict(program.state_dict),
        capture=capture,
        inputs=inputs,
        batch=batch,
    )


def _flatten(module: GraphModule, returns: Any) -> None:
    """Makes a module take one tensor after the other, and return them by name where they have names."""
    module.graph.set_codegen(CodeGen())
    output = module.graph.output_node()
    nodes = output.args[0]
    assert isinstance(nodes, list | tuple)
    marks = [torch.empty(0) if isinstance(node, Node) else None for node in nodes]
    names = flat_outputs(returns.unflatten(marks))
    output.args = (dict(zip(names, (node for node in nodes if isinstance(node, Node)), strict=True)),)
    module.recompile()


class _Flat(nn.Module):
    """A program that takes dictionaries, or arguments by name, as a function of the tensors in them."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program.module()
        self._structure: Any = program.call_spec.in_spec

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        args, kwargs = self._structure.unflatten(tensors)
        return flat_outputs(self.program(*args, **kwargs))


def _is_nested(structure: Any, count: int) -> bool:
    """Whether calling takes more than one tensor after the other."""
    args, kwargs = structure.unflatten([None] * count)
    return len(args) != count or bool(kwargs)


def _load(found: Identified, trust: bool) -> ExportedProgram:
    assert found.archive is not None
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            if trust:
                return torch.export.load(found.path)
            with rewritten_program(found.archive) as file:
                return torch.export.load(file)
    except InputError:
        if _schema(found) <= exported_schema_version():
            raise
        raise _newer(found) from None
    except Exception as error:  # deserialization raises many types
        text = str(error)
        reason = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
        if _schema(found) > exported_schema_version():
            raise _newer(found) from error
        raise InputError(
            f"{found.path} is no exported program that this PyTorch can load ({reason})"
        ) from error


def _newer(found: Identified) -> InputError:
    return InputError(
        f"{found.path} was written by a newer PyTorch (schema {_schema(found)}, this PyTorch reads up to "
        f"{exported_schema_version()}); convert it with a newer edgetrain"
    )


def _inputs(
    program: ExportedProgram, origin: str, given: Sequence[ModelInput]
) -> tuple[dict[str, ModelInput], int | None]:
    """Shapes without batch by name, and the batch where it is fixed.

    Args:
        given: what is chosen where other dimensions than the batch are dynamic.
    Raises:
        UsageError: nothing is chosen.
        InputError: it takes something else than tensors.
    """
    placeholders = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    values = {
        name: placeholders[name].meta["val"]
        for name in program.graph_signature.user_inputs
        if isinstance(name, str) and name in placeholders
    }
    tensors = all(isinstance(v, Tensor) and v.dim() for v in values.values())
    if not values or not tensors or len(values) < len(program.graph_signature.user_inputs):
        raise InputError(
            f"{origin} takes inputs other than batches of tensors; convert takes no such programs"
        )
    specs = {}
    chosen = [spec.shape for spec in given] if len(given) == len(values) else [None] * len(values)
    for (name, value), shape in zip(values.items(), chosen, strict=True):
        if shape is None and any(isinstance(length, torch.SymInt) for length in value.shape[1:]):
            sizes = " ".join(",".join(_sizes(program, v.shape[1:])) for v in values.values())
            raise UsageError(
                f"{origin} takes inputs of several shapes: {sizes}; choose one for each with --input-shape"
            )
        shape = shape or tuple(int(n) for n in value.shape[1:])
        specs[name if len(values) > 1 else INPUTS] = ModelInput(
            shape, str(value.dtype).removeprefix("torch.")
        )
    first = next(iter(values.values())).shape[0]
    return specs, None if isinstance(first, torch.SymInt) else int(first)


def _sizes(program: ExportedProgram, lengths: Sequence[int | torch.SymInt]) -> list[str]:
    """Lengths as numbers, and those that are open as their least and most."""
    ranges = {str(symbol): bounds for symbol, bounds in program.range_constraints.items()}
    return [
        f"{ranges[str(n)].lower}..{ranges[str(n)].upper}" if str(n) in ranges else str(n) for n in lengths
    ]


def _schema(found: Identified) -> int:
    assert found.archive is not None
    try:
        document = json.loads(found.archive.read("models/model.json"))
        return int(document["schema_version"]["major"])
    except (InputError, KeyError, ValueError, TypeError):
        return 0
