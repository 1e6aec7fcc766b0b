"""A loss of the user's own: `--loss package.module:factory`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..factories import current_folder_importable, import_factory

Tensors = Mapping[str, Tensor]


class OwnLoss:
    """The factory is called without arguments and gives an `nn.Module` without parameters: (outputs, targets)
    → float32 scalar, the mean over the batch. Both are tensors where there is one of them, else dictionaries
    by name.

    The module may also have `random_targets(outputs, generator)` → a batch of targets for verification.

    Attributes:
        name: of the factory.
        module: what it made.
    Raises:
        UsageError: it can't be imported, fails, or gives something else.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        with current_folder_importable():
            factory = import_factory(name, "loss")
            try:
                module = factory()
            except Exception as error:
                raise UsageError(f"{name} failed with {type(error).__name__}: {_reason(error)}") from error
        if not isinstance(module, nn.Module):
            raise UsageError(f"{name} must return a torch.nn.Module, but returned {type(module).__name__}")
        if any(True for _ in module.parameters()):
            raise UsageError(f"the loss {name} has parameters, which nothing would train; make them buffers")
        self.module = module

    def __call__(self, outputs: Tensors, targets: Tensors) -> Tensor:
        if not torch.compiler.is_compiling():  # it may write into them
            targets = {name: tensor.clone() for name, tensor in targets.items()}
        loss: Tensor = self.module(_plain(outputs), _plain(targets))
        return loss

    def check(self, outputs: Tensors, targets: Tensors) -> None:
        """Tries it on a batch.

        Raises:
            UsageError: it fails, or gives no float32 scalar.
        """
        try:
            loss = self(outputs, targets)
        except Exception as error:
            raise UsageError(f"the loss {self.name} fails on a batch: {_reason(error)}") from error
        if not isinstance(loss, Tensor) or loss.dim() or loss.dtype != torch.float32:
            found = f"{loss.dtype} {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise UsageError(f"the loss {self.name} must return a float32 scalar, but returned {found}")

    def random_targets(
        self, outputs: Tensors, name: str, generator: torch.Generator
    ) -> dict[str, Tensor] | None:
        """Its own random targets; None where it has none.

        Args:
            name: of the target, where it gives a bare tensor.
        """
        make: Any = getattr(self.module, "random_targets", None)
        if make is None:
            return None
        made = make(_plain(outputs), generator)
        return {name: made} if isinstance(made, Tensor) else dict(made)


def _plain(tensors: Tensors) -> Any:
    """The tensor itself where there is only one."""
    return next(iter(tensors.values())) if len(tensors) == 1 else dict(tensors)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
