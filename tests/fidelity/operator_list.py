"""All operators, by family."""

from __future__ import annotations

from operator_arithmetic import ARITHMETIC
from operator_functions import FUNCTIONS
from operator_layers import LAYERS
from operator_modules import MODULES

FAMILIES = {**LAYERS, **MODULES, **FUNCTIONS, **ARITHMETIC}
