"""model.pth: a trained model as plain data that loads without unpickling code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ..config.model import ModelConfig
from ..errors import InputError, as_argument
from .atomic import atomic_writer
from .checksums import check_sums
from .specs import InputSpec, TaskSpec, TensorSpec
from .transforms import Transform

if TYPE_CHECKING:
    import torch

FORMAT = "edgetrain.checkpoint"
VERSION = 3
_READ = (2, VERSION)  # 2 had no transforms
_TRANSFORMS: TypeAdapter[tuple[Transform, ...]] = TypeAdapter(tuple[Transform, ...])


@dataclass
class Checkpoint:
    """What a .pth file holds.

    Attributes:
        model: the model's name and arguments, complete enough to build it again.
        state: parameters and buffers by fully qualified name.
        transforms: what was done to the model since its code built it; the state is that of the result.
        inputs: what the model takes, by name, in its order.
        targets: what it was trained towards, by name; None where that is not known (converted models).
        training: state of an unfinished run (optimizer, random state, position); only in resumable files.
    """

    model: ModelConfig
    state: dict[str, torch.Tensor]
    inputs: dict[str, InputSpec]
    task: TaskSpec
    targets: dict[str, TensorSpec] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    transforms: tuple[Transform, ...] = ()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint atomically, as plain data under `weights_only=True` rules."""
    import torch

    payload = {
        "format": FORMAT,
        "version": VERSION,
        "model": checkpoint.model.model_dump(mode="json"),
        "state_dict": {name: tensor.detach().cpu() for name, tensor in checkpoint.state.items()},
        "inputs": _dumped(checkpoint.inputs),
        "targets": None if checkpoint.targets is None else _dumped(checkpoint.targets),
        "task": checkpoint.task.model_dump(mode="json"),
        "metrics": checkpoint.metrics,
        "config": checkpoint.config,
        "training": checkpoint.training,
        "transforms": _TRANSFORMS.dump_python(checkpoint.transforms, mode="json"),
    }
    with atomic_writer(path) as file:
        torch.save(payload, file)


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint. Nothing in the file is executed.

    Raises:
        InputError: the file is missing, damaged, or not an edgetrain checkpoint.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; train a model first: edgetrain train -o {path}")
    return checkpoint_from(path, load_plain(path))


def load_plain(path: Path) -> Any:
    """Reads what torch.save wrote, as long as it is plain data. Nothing in the file is executed.

    Raises:
        InputError: the file is damaged, holds more than plain data, or would unpack to far more than its
            size.
    """
    # Only now, since reading it loads PyTorch.
    from .unpickling import read_torch_file, stand_ins_in

    check_sums(path)
    payload = read_torch_file(path)
    names = [found.name for found in stand_ins_in(payload)]
    if names:
        raise InputError(
            f"{path} holds Python objects ({', '.join(names[:2])}), which no file of edgetrain does; if it "
            f"is a model of yours, convert it: edgetrain convert {as_argument(path)}"
        )
    return payload


def checkpoint_from(path: Path, payload: Any) -> Checkpoint:
    """The checkpoint that `load_plain` found in a file.

    Raises:
        InputError: it is something else, or incomplete.
    """
    import torch

    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise InputError(
            f"{path} is no edgetrain checkpoint, though PyTorch wrote it; bring it over first: "
            f"edgetrain convert {as_argument(path)} --to pth --model NAME --input-shape C,H,W (export takes "
            "both as well)"
        )
    if payload.get("version") not in _READ:
        raise InputError(
            f"{path} has checkpoint version {payload.get('version')}; this edgetrain reads up to {VERSION}"
        )
    try:
        state = payload["state_dict"]
        if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
            raise ValueError("state_dict must map names to tensors")
        return Checkpoint(
            model=ModelConfig.model_validate(payload["model"]),
            state=state,
            inputs={name: InputSpec.model_validate(spec) for name, spec in payload["inputs"].items()},
            targets=_targets(payload["targets"]),
            task=TaskSpec.model_validate(payload["task"]),
            metrics=payload["metrics"],
            config=payload["config"],
            training=payload["training"],
            transforms=_TRANSFORMS.validate_python(payload.get("transforms", ())),
        )
    except (KeyError, ValueError, AttributeError, ValidationError) as error:
        raise InputError(f"{path} is no complete edgetrain checkpoint ({_first_line(error)})") from error


def _dumped(specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return {name: spec.model_dump(mode="json") for name, spec in specs.items()}


def _targets(payload: dict[str, Any] | None) -> dict[str, TensorSpec] | None:
    if payload is None:
        return None
    return {name: TensorSpec.model_validate(spec) for name, spec in payload.items()}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
