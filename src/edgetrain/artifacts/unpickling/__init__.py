"""Pickles read as data: plain values, tensors, and stand-ins for everything else. Nothing that a pickle names
is imported or called."""

from .arrays import arrays_as_tensors
from .constructors import Array
from .machine import DamagedPickleError, unpickled
from .stand_ins import Global, StandIn, everything_in, stand_ins_in
from .torch_files import read_torch_file

__all__ = [
    "Array",
    "DamagedPickleError",
    "Global",
    "StandIn",
    "arrays_as_tensors",
    "everything_in",
    "read_torch_file",
    "stand_ins_in",
    "unpickled",
]
