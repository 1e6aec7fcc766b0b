"""What torch.save or pickle writes: state_dicts, checkpoints with more around them, edgetrain's own, whole
modules."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...artifacts.checkpoint import FORMAT, checkpoint_from
from ...artifacts.unpickling import Array, StandIn, everything_in, read_torch_file, stand_ins_in
from ...config.convert import ConvertConfig
from ...errors import InputError, UsageError
from ...factories import Trusted
from ...models.states import tensors_of
from ...models.transforms.observers import float_checkpoint
from ...models.trusted import build_trusted_model
from ...upstream.imports import complete_torch
from ..errors import NoWeightsError
from ..fitting import load_weights
from ..kinds import Identified
from ..source import Source
from ..specs import model_inputs
from ..suggestions import suggest_models
from ..weights import chosen_entry, find_weights, modules_in
from .named_model import source_of_weights

_LIBRARIES = ("torchvision.", "timm.")
_DAMAGE = (RuntimeError, EOFError, ValueError, KeyError, OSError, IndexError, TypeError)


def read_torch_save(found: Identified, config: ConvertConfig) -> Source:
    """Reads plain data and weights, whatever lies beside them; with `trust_pickle` also modules.

    Raises:
        InputError: damaged, without weights, or a module that nobody said to trust.
    """
    payload = read_torch_file(found.path)
    origin = str(found.path)
    if isinstance(payload, dict) and payload.get("format") == FORMAT:
        return _own_checkpoint(found.path, payload, config)
    if config.model is None and _holds_module(payload):
        if not config.trust_pickle:
            raise InputError(_untrusted(payload, origin))
        module = _module_in(_unpickle(found), config.weights_key, origin)
        module.eval()
        # Only a module needs what captures it, which loads for seconds.
        from ..module_graphs import graph_capture

        return Source("pickled module", module, tensors_of(module), graph_capture(origin))
    try:
        weights = find_weights(payload, origin, config.weights_key)
    except NoWeightsError as error:
        # Of settings, as training_args.bin has, trust would bring nothing to light.
        if not any(stand_ins_in(payload)) or not _may_hold_weights(payload):
            raise
        if not config.trust_pickle:
            raise InputError(_untrusted(payload, origin)) from error
        weights = find_weights(_unpickle(found), origin, config.weights_key)
    return source_of_weights(weights, config, "checkpoint" if weights.entry else "state_dict", found.path)


def _holds_module(payload: Any) -> bool:
    """Whether a whole model was saved: by itself, in a dictionary, or in an object such as an average."""
    return any(isinstance(found, StandIn) and found.is_module for found in stand_ins_in(payload))


def _may_hold_weights(payload: Any) -> bool:
    """Whether there are tensors or arrays anywhere, also in objects, or what only a call would make."""
    parts = payload.values() if isinstance(payload, dict) else [payload]
    return any(isinstance(part, StandIn) and not part.attributes for part in parts) or any(
        isinstance(found, Tensor | Array) for found in everything_in(payload)
    )


def _module_in(payload: Any, entry: str | None, origin: str) -> nn.Module:
    """The model among what was unpickled: the one at `entry`, or the likeliest that isn't an average.

    Raises:
        InputError: there is none.
        UsageError: there are several, or none at `entry`.
    """
    found = dict(modules_in(payload))
    if not found:
        raise InputError(f"{origin} holds a model that isn't found in it; save model.state_dict() instead")
    return found[chosen_entry(found, entry, origin)]


def _own_checkpoint(path: Path, payload: dict[str, Any], config: ConvertConfig) -> Source:
    complete_torch()
    checkpoint = float_checkpoint(checkpoint_from(path, payload))
    if config.model not in (None, checkpoint.model.name):
        raise UsageError(f"{path} is a {checkpoint.model.name}, not a {config.model}; leave out --model")
    module = build_trusted_model(
        checkpoint.model, Trusted(model=config.model), source=str(path), transforms=checkpoint.transforms
    )
    load_weights(module, find_weights(checkpoint.state, str(path)), str(path), checkpoint.model.name)
    module.eval()
    return Source(
        format="edgetrain checkpoint",
        reference=module,
        state=tensors_of(module),
        inputs=model_inputs(checkpoint.inputs),
        model=checkpoint.model,
        checkpoint=path,
        task=checkpoint.task,
        targets=checkpoint.targets,
        metrics=checkpoint.metrics,
        config=checkpoint.config,
        transforms=checkpoint.transforms,
    )


def _unpickle(found: Identified) -> Any:
    """Loads Python objects, whose classes may lie in the current folder. This runs code from the file."""
    complete_torch()
    path, kind = found.path, found.kind
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        if kind == "pickle":
            with path.open("rb") as file:
                return pickle.load(file)
        return torch.load(path, map_location="cpu", weights_only=False)
    except (AttributeError, ImportError) as error:
        raise InputError(
            f"{path} needs the code it was made with ({_first_line(error)}): run convert where that can be "
            "imported, or take the weights alone, by naming the model's class as you have it, "
            "--model package.module:Class, with its arguments (--model-arg NAME=VALUE)"
        ) from error
    except (*_DAMAGE, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is damaged ({_first_line(error)}); copy or download it again") from error
    finally:
        sys.path.remove(folder)


def _untrusted(payload: Any, origin: str) -> str:
    found = list(stand_ins_in(payload))
    names = dict.fromkeys(each.name for each in found)
    module = next((each.name for each in found if isinstance(each, StandIn) and each.is_module), None)
    way_out = "save model.state_dict() there and name the model with --model"
    if module is not None:
        way_out = (
            f"have its weights alone, without running anything in it: {_builder(module, payload, origin)}"
        )
    return (
        f"{origin} is a pickle of Python objects ({', '.join(list(names)[:2])}): loading it can run any code "
        f"that is in it; if you trust where it comes from, add --trust-pickle, or {way_out}"
    )


def _builder(module: str, payload: Any, origin: str) -> str:
    """The flags that name what builds a saved module."""
    if module.startswith(_LIBRARIES):
        # Their classes take blocks and layers; their models are known by names.
        near = suggest_models(find_weights(payload, origin).state)
        if near:
            return near[0]
    # What PyTorch's containers hold, their names don't say.
    builder = "package.module:factory" if module.startswith("torch.") else ":".join(module.rsplit(".", 1))
    return f"--model {builder}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
