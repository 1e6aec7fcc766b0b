"""The same program's model in eager PyTorch: the oracle the other runtimes are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..artifacts.program import Program
from ..engine.losses import make_loss, predict_from_logits
from ..engine.modes import BatchNormMode, set_training_mode
from ..errors import EdgetrainError, InputError
from ..models.trusted import build_trusted_model
from .base import Session


class TorchSession(Session):
    """The model of a program's manifest, built again and filled with the program's weights."""

    name = "torch"

    def __init__(
        self, program: Program, *, dropout: bool = True, threads: int | None = None, model: str | None = None
    ) -> None:
        super().__init__(program)
        if threads is not None:
            torch.set_num_threads(threads)
        manifest = program.manifest
        self.model = build_trusted_model(manifest.model, trusted=model, source=str(program.path))
        try:
            problems = self.model.load_state_dict(program.tensors(), strict=False)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(
                f"{program.path}: the weights do not fit the model {manifest.model.name} as it is built "
                f"today ({reason})"
            ) from error
        if problems.unexpected_keys or set(problems.missing_keys) & set(dict(self.model.named_parameters())):
            raise InputError(
                f"{program.path}: the weights do not fit the model {manifest.model.name} as it is built "
                f"today ({(problems.unexpected_keys + problems.missing_keys)[0]})"
            )
        trainable = set(manifest.gradients)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in trainable)
        self.task = manifest.task
        self.batch_norm: BatchNormMode = manifest.batch_norm
        self.dropout = dropout
        self.criterion = make_loss(manifest.task)
        by_name = dict(self.model.named_parameters())
        self._trained = {name: by_name[name] for name in manifest.gradients}
        self._buffer_names = [t.name for t in manifest.mutable if t.role == "buffer"]
        self.parameters = {name: p.data for name, p in self._trained.items()}

    def forward_backward(self, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        self._check("train", inputs, targets)
        set_training_mode(self.model, self.batch_norm)
        self.model.zero_grad(set_to_none=True)
        with _failures_named("train"), contextlib.nullcontext() if self.dropout else no_dropout(self.model):
            logits = self.model(inputs)
            loss = self.criterion(logits, targets)
            loss.backward()
        self.gradients = {
            name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in self._trained.items()
        }
        return loss.item(), predict_from_logits(self.task, logits.detach())

    @torch.no_grad()
    def evaluate(self, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        self._check("evaluate", inputs, targets)
        logits = self.predict(inputs)
        with _failures_named("evaluate"):
            return self.criterion(logits, targets).item(), predict_from_logits(self.task, logits)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        self._check("predict", inputs)
        self.model.eval()
        with _failures_named("predict"):
            return self.model(inputs)

    def changed_tensors(self) -> dict[str, Tensor]:
        buffers = dict(self.model.named_buffers())
        return {
            **{name: tensor.detach().clone() for name, tensor in self.parameters.items()},
            **{name: buffers[name].detach().clone() for name in self._buffer_names},
        }


@contextlib.contextmanager
def _failures_named(method: str) -> Iterator[None]:
    """What PyTorch refuses (a label out of range, batch norm of a single value) as one sentence."""
    try:
        yield
    except (ValueError, IndexError, RuntimeError) as error:
        raise EdgetrainError(f"PyTorch failed in method {method}: {str(error).splitlines()[0]}") from error


class _NoDropout(TorchFunctionMode):
    """Turns dropout functions into the identity."""

    _DROPOUTS = frozenset({nn.functional.dropout, torch.dropout, torch.dropout_})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._DROPOUTS:
            return args[0] if args else kwargs["input"]
        if func is nn.functional.scaled_dot_product_attention:
            args, kwargs = (*args[:4], 0.0, *args[5:]) if len(args) > 4 else args, {**kwargs}
            kwargs.pop("dropout_p", None)
        return func(*args, **kwargs)


@contextlib.contextmanager
def no_dropout(model: nn.Module) -> Iterator[None]:
    """Runs a model without dropout whatever its mode: dropout modules, the dropout inside recurrent and
    attention modules, and calls of dropout functions."""
    changed: list[tuple[nn.Module, str, float]] = []
    for module in model.modules():
        attribute = "p" if isinstance(module, nn.modules.dropout._DropoutNd) else "dropout"
        value = getattr(module, attribute, None)
        if isinstance(value, float):
            changed.append((module, attribute, value))
            setattr(module, attribute, 0.0)
    try:
        with _NoDropout():
            yield
    finally:
        for module, attribute, value in changed:
            setattr(module, attribute, value)
