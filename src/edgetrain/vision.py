"""torchvision, also beside a torch build its compiled operators can't load in.

PyPI's torchvision wheel expects a CUDA build of torch. Beside a CPU-only torch its shared library doesn't
load, and `import torchvision` then stops while it describes operators that were never registered. Models,
transforms and data sets don't need those operators, so the import goes on without their description.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_REGISTERED = re.compile(r'^@register_model\((?:name="(\w+)")?\)\n(?:@.*\n|[ )].*\n)*def (\w+)', re.MULTILINE)
_DESCRIPTIONS = "torchvision._meta_registrations"


def make_torchvision_importable() -> None:
    """Has every later `import torchvision` of this process succeed, whoever does it, edgetrain or a module of
    the user's.

    Costs nothing until then. Where the compiled operators load, nothing is different. Where they don't,
    torchvision's own functions that need them (`torchvision.ops.nms`, ...) raise torchvision's error when
    they are called.
    """
    if not any(isinstance(finder, _Descriptions) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Descriptions())


def import_torchvision() -> ModuleType:
    """Imports torchvision; afterwards `from torchvision import models` and the like work anywhere.

    Returns:
        the torchvision module.
    Raises:
        ImportError: torchvision is not installed.
    """
    make_torchvision_importable()
    return importlib.import_module("torchvision")


@functools.cache
def model_names() -> tuple[str, ...]:
    """Names of torchvision's models for classification and segmentation, read from its files, since to import
    it takes seconds. Empty where it isn't installed."""
    found = importlib.util.find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        return ()
    models = Path(found.submodule_search_locations[0], "models")
    files = [*models.glob("*.py"), *models.glob("segmentation/*.py")]
    pairs = (pair for file in files for pair in _REGISTERED.findall(file.read_text()))
    return tuple(sorted(named or function for named, function in pairs))


class _Descriptions(MetaPathFinder, Loader):
    """Finds an empty module in place of the descriptions of operators that aren't there.

    torchvision loads its operators before it imports these, so that it is known by then.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _DESCRIPTIONS or _operators_loaded():
            return None
        return ModuleSpec(name, self)

    def exec_module(self, module: ModuleType) -> None:
        """Leaves it empty."""


def _operators_loaded() -> bool:
    import torch

    return hasattr(torch.ops.torchvision, "nms")
