"""torchvision, also beside a torch build its compiled operators can't load in.

PyPI's torchvision wheel expects a CUDA build of torch. Beside a CPU-only torch its shared library doesn't
load, and `import torchvision` then stops while it describes operators that were never registered. Models,
transforms and data sets don't need those operators, so the import is repeated without their description.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_DESCRIPTIONS = "torchvision._meta_registrations"


def import_torchvision() -> ModuleType:
    """Imports torchvision; afterwards `from torchvision import models` and the like work anywhere.

    Where the compiled operators load, this is a plain import. Where they don't, torchvision's own functions
    that need them (`torchvision.ops.nms`, ...) raise torchvision's error when they are called.

    Returns:
        the torchvision module.
    Raises:
        ImportError: torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    _forget_half_imported()
    sys.modules[_DESCRIPTIONS] = ModuleType(_DESCRIPTIONS)
    return importlib.import_module("torchvision")


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
