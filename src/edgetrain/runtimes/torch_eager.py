"""The same program's model in eager PyTorch: the oracle the other runtimes are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..artifacts.checkpoint import load_checkpoint
from ..artifacts.contract import BACKBONE, Argument, TensorRecord
from ..artifacts.manifest import file_record
from ..artifacts.program import Program
from ..artifacts.transforms import lasting, of_program
from ..engine.modes import BatchNormMode, set_training_mode
from ..errors import EdgetrainError, InputError
from ..factories import NOTHING, Trusted
from ..models.calling import call_model
from ..models.states import fill
from ..models.transforms import apply_transforms
from ..models.transforms.observers import float_checkpoint
from ..models.trusted import build_trusted_model
from ..tasks import make_task
from ..tasks.outputs import named_outputs
from .base import Outcome, Session, Tensors
from .fixed_randomness import no_dropout


class TorchSession(Session):
    """The model of a program's manifest, built again and filled with the program's weights.

    Parameters that the program doesn't hold, as those of a head that only pretraining had, have whatever
    values the model is built with: nothing may depend on them.
    """

    name = "torch"

    def __init__(
        self,
        program: Program,
        *,
        dropout: bool = True,
        threads: int | None = None,
        trusted: Trusted = NOTHING,
    ) -> None:
        super().__init__(program)
        if threads is not None:
            torch.set_num_threads(threads)
        manifest = program.manifest
        self.model = build_trusted_model(
            manifest.model, trusted, source=str(program.path), transforms=lasting(manifest.transforms)
        )
        if BACKBONE in self.contract.methods:
            self._load_backbone(program)
        self.model = apply_transforms(self.model, of_program(manifest.transforms))
        self.task = make_task(manifest.task, trusted, source=str(program.path))
        self.batch_norm: BatchNormMode = manifest.batch_norm
        self.dropout = dropout
        self._draws: dict[str, bool] = {}
        self._path = program.path
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        self._buffers = dict(self.model.named_buffers(remove_duplicate=False))
        places = {t.name: self._place(t, {**parameters, **self._buffers}) for t in self.contract.stored}
        with torch.no_grad():
            for name, tensor in program.tensors().items():
                if not torch.equal(places[name], tensor):  # a constant that is expanded can't be written
                    places[name].copy_(tensor)
        self._trained = {name: parameters[self._name(name, parameters)] for name in self.contract.trainable}
        held = {id(tensor) for tensor in places.values()}
        known = BACKBONE in self.contract.methods
        self._strangers = {name: p for name, p in parameters.items() if not known and id(p) not in held}
        wanted = {id(p) for p in (*self._trained.values(), *self._strangers.values())}
        for parameter in parameters.values():
            parameter.requires_grad_(id(parameter) in wanted)
        self.parameters = {name: p.data for name, p in self._trained.items()}
        changing = [t.name for t in self.contract.changing if t.kind == "buffer"]
        self.buffers = {name: self._buffers[self._name(name, self._buffers)] for name in changing}

    def forward_backward(self, inputs: Tensors, targets: Tensors) -> Outcome:
        method = self.contract.gradient_method or "train"
        inputs, targets = self._named(method, inputs, targets)
        set_training_mode(self.model, self.batch_norm)
        self.model.zero_grad(set_to_none=True)
        with _failures_named(method), self._randomness("train"):
            outputs = named_outputs(call_model(self.model, inputs))
            loss = self.task.loss(outputs, targets)
            loss.backward()
        used = next((name for name, p in self._strangers.items() if p.grad is not None), None)
        if used is not None:
            raise self._misfit(f"{used} takes part in training, but is not in the program")
        self.gradients = {
            name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in self._trained.items()
        }
        return self._outcome(outputs, targets, loss)

    @torch.no_grad()
    def evaluate(self, inputs: Tensors, targets: Tensors) -> Outcome:
        inputs, targets = self._named("evaluate", inputs, targets)
        outputs = self._run(inputs, "evaluate")
        with _failures_named("evaluate"):
            return self._outcome(outputs, targets, self.task.loss(outputs, targets))

    @torch.no_grad()
    def predict(self, inputs: Tensors) -> dict[str, Tensor]:
        inputs, _ = self._named("predict", inputs)
        outputs = self._run(inputs, "predict")
        return {a.name: outputs[a.name] for a in self.contract.methods["predict"].given("output")}

    def _load_backbone(self, program: Program) -> None:
        """Fills the model with the checkpoint that the program was exported from: the program has its frozen
        layers only as a backend wants them, in int8 perhaps."""
        record = program.manifest.checkpoint
        path = program.path.with_name(record.name) if record is not None else None
        if path is None or not path.is_file() or file_record(path) != record:
            wanted = f" ({record.name})" if record is not None else ""
            raise InputError(
                f"torch needs the layers of {program.path} that XNNPACK runs as they were; put the "
                f"checkpoint it was exported from{wanted} beside it, or use another runtime"
            )
        fill(self.model, float_checkpoint(load_checkpoint(path)).state)

    def _arguments(self, method: str) -> list[Argument]:
        """Those of a sample: the whole model is run."""
        return [*self.contract.sample_inputs, *self.contract.methods[method].taken("target")]

    def _run(self, inputs: Tensors, method: str) -> dict[str, Tensor]:
        self.model.eval()
        with _failures_named(method), self._randomness("evaluate"):
            return named_outputs(call_model(self.model, inputs))

    @contextlib.contextmanager
    def _randomness(self, mode: str) -> Iterator[None]:
        """Without dropout and with fixed random numbers, where dropout is off. Whether the model draws any in
        a mode is found out once."""
        if self.dropout:
            yield
            return
        with no_dropout(self.model, fix=self._draws.get(mode, True)) as seen:
            yield
        self._draws.setdefault(mode, seen.drew)

    def _outcome(self, outputs: Tensors, targets: Tensors, loss: Tensor) -> Outcome:
        found = {name: output.detach() for name, output in outputs.items()}
        sums = self.task.sums(found, targets, loss.detach())
        return Outcome(loss.item(), self.task.predictions(found), sums)

    def _named(self, name: str, inputs: Tensors, targets: Tensors | None = None) -> tuple[Tensors, Tensors]:
        """Inputs and targets in the order of a method's arguments, checked."""
        by_role: dict[str, dict[str, Tensor]] = {"input": {}, "target": {}}
        for argument, tensor in self._samples(name, inputs, targets):
            by_role[argument.role][argument.name] = tensor
        return by_role["input"], by_role["target"]

    def _name(self, name: str, known: Mapping[str, Tensor]) -> str:
        """The name a tensor of the program has in the model, which may keep another of a tied one's names."""
        record = self.contract.tensor(name)
        found = next((n for n in (name, *record.aliases) if n in known), None)
        if found is None:
            raise self._misfit(name)
        return found

    def _place(self, record: TensorRecord, known: Mapping[str, Tensor]) -> Tensor:
        """The model's tensor that a tensor of the program goes into."""
        tensor = known[self._name(record.name, known)]
        if list(tensor.shape) != record.shape:
            raise self._misfit(f"{record.name} is {list(tensor.shape)}, not {record.shape}")
        return tensor

    def _misfit(self, what: str) -> InputError:
        return InputError(
            f"{self._path}: the weights do not fit the model {self.manifest.model.name} as it is built today "
            f"({what})"
        )


@contextlib.contextmanager
def _failures_named(method: str) -> Iterator[None]:
    """What PyTorch refuses (a label out of range, batch norm of a single value) as one sentence."""
    try:
        yield
    except (ValueError, IndexError, RuntimeError) as error:
        raise EdgetrainError(f"PyTorch failed in method {method}: {str(error).splitlines()[0]}") from error
