"""The export stage: checkpoint in; program, weights and manifest out, verified before they are kept."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..artifacts.atomic import check_writable, sync_folder
from ..artifacts.checkpoint import Checkpoint, load_checkpoint
from ..artifacts.manifest import (
    ArgumentRecord,
    Manifest,
    MethodRecord,
    TensorRecord,
    Verification,
    file_record,
    save_manifest,
    tensors_pairing,
)
from ..artifacts.program import Program, load_program, locate_inline
from ..artifacts.specs import Task
from ..artifacts.tensors import write_tensors
from ..config.stages import ExportCommand, ExportConfig
from ..errors import CheckFailedError, InputError
from ..models.trusted import build_trusted_model
from ..reporting import SILENT, Reporter
from . import im2col
from .capture import capture
from .joint import gradient_names, make_joint_graph, mutated_buffers
from .lowering import Lowered, capture_buffers, lower, named_tensors, to_edge_dialect
from .passes.dropout_as_mask import has_dropout
from .preflight import check_gradients_reach, check_operators, choose_trainable
from .verification import MakeBatch, verification_sizes, verify

VERIFICATION_LEARNING_RATE = 0.01


@dataclass(frozen=True)
class ExportResult:
    """The files written. `weights` is None where they are inside the program."""

    program: Path
    weights: Path | None
    manifest_path: Path
    manifest: Manifest
    verification: Verification


def export(
    config: ExportCommand,
    checkpoint: Path,
    output: Path,
    *,
    model: str | None = None,
    reporter: Reporter = SILENT,
) -> ExportResult:
    """Exports a checkpoint as NAME.pte, NAME.ptd (unless weights are inline) and NAME.json.

    Args:
        output: DIR/NAME without a suffix.
        model: the `package.module:factory` the caller trusts, where the checkpoint names one.
    Raises:
        InputError: the checkpoint is unusable.
        UsageError: the configuration doesn't fit the model.
        CheckFailedError: the model can't be trained on a device, or the program computes something else
            than PyTorch; nothing is written then.
    """
    paths = {kind: output.with_name(output.name + suffix) for kind, suffix in _SUFFIXES.items()}
    for path in paths.values():
        check_writable(path)
    source = load_checkpoint(checkpoint)
    module = _build(source, model, checkpoint)
    return export_module(config, module, source, output, origin=str(checkpoint), reporter=reporter)


def export_module(
    config: ExportCommand,
    module: nn.Module,
    source: Checkpoint,
    output: Path,
    *,
    origin: str,
    reporter: Reporter = SILENT,
) -> ExportResult:
    """Exports a module that is built already.

    Args:
        source: what the manifest says about the module; its state is not used.
        origin: where the module comes from, for messages.
    Raises:
        as `export`.
    """
    paths = {kind: output.with_name(output.name + suffix) for kind, suffix in _SUFFIXES.items()}
    with (
        reporter.progress("exporting", total=5) as progress,
        tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder,
    ):
        make_batch = _batch_maker(module, source, config.export, origin)
        few, _ = verification_sizes(config.export.batch_norm, config.export.max_batch_size)
        example = make_batch(0, few[0])
        choose_trainable(module, config.export.trainable)
        check_gradients_reach(module, source.task, *example, config.export.batch_norm, reporter)
        progress.advance(now="capture")
        staged = _Staging(config, source, module, example)
        staged.capture()
        progress.advance(now="lowering")
        staged.lower()
        progress.advance(now="writing")
        program = staged.write(Path(folder) / output.name)
        progress.advance(now="verifying")
        verification = verify(
            program,
            module,
            make_batch,
            learning_rate=VERIFICATION_LEARNING_RATE,
            tolerance=config.export.tolerance,
        )
        if max(verification.batch_sizes) < config.export.max_batch_size:
            reporter.warn(
                f"verified with batches of up to {max(verification.batch_sizes)} only: a larger one would "
                "take too long in this runtime"
            )
        if verification.sensitivity is not None:
            reporter.warn(
                f"this model's results move by {verification.sensitivity:.0e} under rounding alone, "
                "so that they could be compared no finer than that"
            )
        manifest = program.manifest.model_copy(update={"verification": verification})
        save_manifest(program.path.with_suffix(".json"), manifest)
        _move_into_place(program.path, paths, inline=manifest.weights is None)
        progress.advance(now="done")
    weights = paths["weights"] if manifest.weights else None
    return ExportResult(paths["program"], weights, paths["manifest"], manifest, verification)


_SUFFIXES = {"weights": ".ptd", "program": ".pte", "manifest": ".json"}


class _Staging:
    """The steps between a module and its files, with what they hand on."""

    def __init__(
        self,
        config: ExportCommand,
        source: Checkpoint,
        module: nn.Module,
        example: tuple[Tensor, Tensor],
    ) -> None:
        self.config = config
        self.source = source
        self.module = module
        self.inputs, self.targets = example

    def capture(self) -> None:
        settings = self.config.export
        captured = capture(
            self.module,
            self.source.task,
            self.inputs,
            self.targets,
            settings.max_batch_size,
            settings.batch_norm,
        )
        self.forward = captured.train
        evaluate, predict = captured.evaluate, captured.predict
        if settings.convolutions == "im2col":
            joint = make_joint_graph(captured.train, decompositions=im2col.DECOMPOSITIONS)
            evaluate, predict = im2col.without_convolutions(evaluate), im2col.without_convolutions(predict)
        else:
            joint = make_joint_graph(captured.train)
        self.dropout = has_dropout(joint)
        self.methods = {"train": joint, "evaluate": evaluate, "predict": predict}
        self.gradients = gradient_names(joint)
        self.mutated = mutated_buffers(joint)
        self.tensors = {**named_tensors(captured.evaluate), **named_tensors(joint)}
        if self.mutated:
            self.methods["buffers"] = capture_buffers({name: self.tensors[name] for name in self.mutated})

    def lower(self) -> None:
        from ..runtimes.executorch_py import runtime_operators

        self.external = self.config.export.weights == "external"
        edge = to_edge_dialect(self.methods)
        check_operators(edge.exported_program("train"), self.forward, runtime_operators())
        mutable = [*self.gradients, *self.mutated]
        self.lowered: Lowered = lower(edge, mutable, self.tensors if self.external else ())

    def write(self, stem: Path) -> Program:
        """Writes all files beside each other and reads them back as any user of them would."""
        program, weights = stem.with_name(stem.name + ".pte"), stem.with_name(stem.name + ".ptd")
        program.write_bytes(self.lowered.program)
        if self.external:
            write_tensors(weights, self.tensors)
        records = self._tensor_records()
        manifest = Manifest(
            edgetrain=__version__,
            torch=torch.__version__,
            executorch=_executorch_version(),
            program=file_record(program),
            weights=file_record(weights) if self.external else None,
            pairing=tensors_pairing(records),
            model=self.source.model,
            input=self.source.input,
            task=self.source.task,
            preprocessing=self.source.preprocessing,
            max_batch_size=self.config.export.max_batch_size,
            batch_norm=self.config.export.batch_norm,
            dropout=self.dropout,
            methods=self._method_records(),
            tensors=records,
            gradients=self.gradients,
            verification=_NOT_VERIFIED,
            config={**self.source.config, **self.config.model_dump(mode="json")},
        )
        save_manifest(program.with_suffix(".json"), manifest)
        return load_program(program)

    def _tensor_records(self) -> list[TensorRecord]:
        offsets = self.lowered.weight_offsets
        parameters = dict(self.module.named_parameters())
        frozen = {name: t for name, t in self.tensors.items() if name not in offsets}
        constants = {} if self.external else locate_inline(self.lowered.program, frozen)
        return [
            TensorRecord(
                name=name,
                shape=list(tensor.shape),
                dtype=_dtype(tensor),
                role=("trainable" if name in self.gradients else "frozen")
                if name in parameters
                else "buffer",
                mutable=name in offsets,
                arena_offset=offsets.get(name),
                constant_index=constants.get(name),
            )
            for name, tensor in self.tensors.items()
        ]

    def _method_records(self) -> dict[str, MethodRecord]:
        inputs = [_argument("inputs", self.inputs), _argument("targets", self.targets)]
        self.module.eval()
        with torch.no_grad():
            logits = _argument("logits", self.module(self.inputs))
        classes = self.source.task.loss == "cross_entropy"
        predictions = (
            ArgumentRecord(name="predictions", shape=["batch"], dtype="int64")
            if classes
            else logits.model_copy(
                update={"name": "predictions", "dtype": _prediction_dtype(self.source.task)}
            )
        )
        loss = ArgumentRecord(name="loss", shape=[], dtype="float32")
        weights = [(n, list(self.tensors[n].shape), _dtype(self.tensors[n])) for n in self.gradients]
        outputs = {
            "train": [
                loss,
                predictions,
                *(ArgumentRecord(name=f"gradient:{n}", shape=s, dtype=d) for n, s, d in weights),
                *(ArgumentRecord(name=f"parameter:{n}", shape=s, dtype=d) for n, s, d in weights),
            ],
            "evaluate": [loss, predictions],
            "predict": [logits],
            "buffers": [
                ArgumentRecord(name=n, shape=list(self.tensors[n].shape), dtype=_dtype(self.tensors[n]))
                for n in self.mutated
            ],
        }
        given = {"train": inputs, "evaluate": inputs, "predict": inputs[:1], "buffers": []}
        return {
            name: MethodRecord(
                inputs=given[name],
                outputs=outputs[name],
                arena_bytes=self.lowered.arena_bytes[name],
                operators=self.lowered.operators[name],
            )
            for name in self.methods
        }


def _build(source: Checkpoint, trusted: str | None, path: Path) -> nn.Module:
    module = build_trusted_model(source.model, trusted=trusted, source=str(path))
    try:
        module.load_state_dict(source.state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise InputError(f"{path} does not fit the model {source.model.name}: {lines[-1].strip()}") from error
    return module


def _batch_maker(module: nn.Module, source: Checkpoint, settings: ExportConfig, origin: str) -> MakeBatch:
    """(draw, size) → a random batch, as the model could be given."""
    vocabularies = [m.num_embeddings for m in module.modules() if isinstance(m, nn.Embedding)]

    def make_inputs(draw: int, size: int) -> tuple[Tensor, torch.Generator]:
        generator = torch.Generator().manual_seed(settings.seed + draw)
        shape = (size, *source.input.shape)
        if source.input.dtype == "int64":
            return torch.randint(0, min(vocabularies, default=2), shape, generator=generator), generator
        return torch.randn(shape, generator=generator), generator

    module.eval()
    try:
        with torch.no_grad():
            output = module(make_inputs(0, min(2, settings.max_batch_size))[0]).shape[1:]
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the model in {origin} fails on the inputs it says it takes, {list(source.input.shape)}: "
            f"{reason}"
        ) from error

    def make(draw: int, size: int) -> tuple[Tensor, Tensor]:
        inputs, generator = make_inputs(draw, size)
        return inputs, _random_targets(source.task, torch.Size((size, *output)), generator)

    return make


def _random_targets(task: Task, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if task.loss == "cross_entropy":
        if len(shape) != 2:
            raise CheckFailedError(f"cross_entropy needs logits [B, classes], the model gives {list(shape)}")
        return torch.randint(0, shape[1], (shape[0],), generator=generator)
    if task.loss == "bce_with_logits":
        return torch.randint(0, 2, shape, generator=generator).float()
    return torch.randn(shape, generator=generator)


def _move_into_place(program: Path, paths: dict[str, Path], *, inline: bool) -> None:
    """Renames the finished files; the manifest last, since it says which others belong together."""
    for kind, suffix in _SUFFIXES.items():
        if kind == "weights" and inline:
            continue
        source = program.with_suffix(suffix)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.replace(paths[kind])
    sync_folder(paths["program"].parent)


def _argument(name: str, tensor: Tensor) -> ArgumentRecord:
    return ArgumentRecord(name=name, shape=["batch", *tensor.shape[1:]], dtype=_dtype(tensor))


def _prediction_dtype(task: Task) -> str:
    return "bool" if task.loss == "bce_with_logits" else "float32"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _executorch_version() -> str:
    from importlib.metadata import version

    return version("executorch")


_NOT_VERIFIED: Any = Verification(
    batch_sizes=[],
    loss=0.0,
    gradients=0.0,
    weights_after_steps=0.0,
    predict_after_steps=0.0,
    predictions=0.0,
    worst_gradient="",
    tolerance=0.0,
    sensitivity=None,
)
