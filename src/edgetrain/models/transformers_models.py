"""Models of the optional library transformers, by class and configuration: `transformers:CLASS`.

Nothing is downloaded: the configuration is what `save_pretrained` has written as `config.json`, and weights
come from a checkpoint.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..artifacts.sharded import architecture_named
from ..config.names import TRANSFORMERS as PREFIX
from ..errors import InputError, UsageError
from ..vision import make_torchvision_importable
from .arguments import first_line

# The only argument: a configuration.
CONFIG = "config"
SETTINGS = "config.json"


def with_folder_config(name: str, args: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The arguments of a model with the configuration that lies in a folder; of other models as they are.

    Raises:
        UsageError: there is none, and none is given.
        InputError: it is no configuration.
    """
    if not name.startswith(PREFIX) or CONFIG in args:
        return dict(args)
    path = folder / SETTINGS
    if not path.is_file():
        raise UsageError(f"{name} needs its configuration: put its {SETTINGS} into {folder}")
    try:
        config = json.loads(path.read_text())
        if not isinstance(config.get("model_type"), str):
            raise ValueError("it names no model_type")
    except (ValueError, AttributeError, RecursionError, OSError) as error:
        raise InputError(f"{path} is no configuration of a model ({error})") from error
    return {**args, CONFIG: config}


def architecture_in(folder: Path) -> str | None:
    """The model that a folder's configuration names, as `--model` takes it."""
    name = architecture_named(folder)
    return None if name is None else f"{PREFIX}{name}"


def build_transformers(name: str, args: Mapping[str, Any]) -> nn.Module:
    """Builds `transformers:CLASS` with `config`, without the cache that generating text keeps between calls.

    Raises:
        UsageError: the library is missing or has no such class, or the configuration doesn't fit it.
    """
    given = args.get(CONFIG)
    if not isinstance(given, Mapping) or set(args) != {CONFIG}:
        raise UsageError(f"{name} takes one argument, config: what its config.json says")
    library, model_class = _find(name)
    try:
        # What is in a configuration must choose no code, and start no download.
        config = library.AutoConfig.for_model(**_without_downloads(given))
        config.use_cache = False
        is_auto = hasattr(model_class, "from_config")
        model = model_class.from_config(config, trust_remote_code=False) if is_auto else model_class(config)
    except Exception as error:  # the library raises many types
        raise UsageError(f"{name} can't be built of its configuration: {first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{name} is no model")
    return model


def fill_transformers(
    model: nn.Module, state: Mapping[str, Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Loads weights as the library itself does, which knows the names that its models once had.

    Returns:
        names that are missing, surplus, and of another shape.
    Raises:
        InputError: the library can't.
    """
    logging = importlib.import_module("transformers.utils.logging")
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        loaded, found = type(model).from_pretrained(  # type: ignore[attr-defined]
            None, config=model.config, state_dict=dict(state), output_loading_info=True
        )
    except Exception as error:  # as above
        raise InputError(f"transformers can't load these weights: {first_line(error)}") from error
    finally:
        logging.set_verbosity(before)
    model.load_state_dict(loaded.state_dict())
    return (
        sorted(found["missing_keys"]),
        sorted(found["unexpected_keys"]),
        [str(item[0]) for item in found["mismatched_keys"]],
    )


def _without_downloads(config: Mapping[str, Any]) -> dict[str, Any]:
    inside = {k: _without_downloads(v) if isinstance(v, Mapping) else v for k, v in config.items()}
    return {k: v for k, v in inside.items() if k not in ("auto_map", "use_pretrained_backbone")}


def _find(name: str) -> tuple[Any, Any]:
    """The library, and the class.

    Raises:
        UsageError: either is missing.
    """
    make_torchvision_importable()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(f"{name} needs the library transformers: pip install transformers") from error
    short = name.removeprefix(PREFIX)
    found = getattr(transformers, short, None) if short.isidentifier() else None
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    is_auto = short.startswith("AutoModel") and hasattr(found, "from_config")
    if not (is_model or is_auto):
        raise UsageError(f"transformers has no model class {short}; name one, as AutoModel or ViTModel")
    return transformers, found
