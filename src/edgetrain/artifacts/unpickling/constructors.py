"""The few functions that plain data is made of in pickles, each by its name, as code of our own."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .machine import DamagedPickleError, checked_key
from .stand_ins import Global, StandIn
from .tensors import rebuilt, rebuilt_typed

# Some copy their arguments: so many bytes for all calls, and a multiple of the file's size.
_SMALL = 64 * 2**20
_DTYPE = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248]|c8|c16|\?)")
_ENCODINGS = ("latin1", "latin-1", "utf-8", "ascii")


class Constructors:
    """Calls of functions that make plain data; everything else becomes a stand-in.

    Args:
        size: of the file in bytes, which limits what is made of it.
        read_storage: makes a storage of the bytes that `pickle.dump` wrote of one; without it there are none.
    """

    def __init__(self, size: int, read_storage: Callable[[Any], Any] | None = None) -> None:
        self._left = _SMALL + 8 * size
        self._read_storage = read_storage

    def make(self, name: str, args: tuple[Any, ...]) -> Any:
        """The result of a call; see `machine.unpickled`."""
        if name in _OF_CONTAINERS:
            self._spend(64 * sum(len(a) for a in args if isinstance(a, list | tuple | dict | set)))
            return _OF_CONTAINERS[name](*args)
        if name in _OF_BYTES:
            self._spend(4 * sum(len(a) for a in args if isinstance(a, str | bytes)))
            return _OF_BYTES[name](*args)
        if name == "torch.storage._load_from_bytes" and self._read_storage is not None:
            self._spend(4 * sum(len(a) for a in args if isinstance(a, bytes)))
            return self._read_storage(*args)
        if name in _OTHERS:
            return _OTHERS[name](*args)
        if name == "torch._tensor._rebuild_from_type_v2":
            return self._of_subclass(*args)
        if name in ("copyreg._reconstructor", "copy_reg._reconstructor"):
            # Class, base and content of the base: what objects were before protocol 2.
            return self.make(args[0].name, ()) if isinstance(args[0], Global) else StandIn(name, args)
        return StandIn(name, args)

    def _of_subclass(self, function: Any, cls: Any, args: Any, state: Any) -> Any:
        """A parameter with attributes, or a tensor of a class of its own."""
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise DamagedPickleError("it has a tensor of nothing")
        if function.name not in _OF_TENSORS:
            return StandIn(function.name, args, state)
        return _OF_TENSORS[function.name](*args)

    def _spend(self, number: int) -> None:
        self._left -= number
        if self._left < 0:
            raise DamagedPickleError("it would unpack to far more than its size")


class Dtype(StandIn):
    """A dtype of numpy, whose order of bytes is said after it was made."""

    @property
    def value(self) -> np.dtype[Any]:
        """The dtype.

        Raises:
            DamagedPickleError: it is none of numbers.
        """
        code = self.args[0] if self.args else None
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise DamagedPickleError("it has an array of numpy that isn't of numbers")
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        return np.dtype(code).newbyteorder(">" if order == ">" else "<" if order == "<" else "=")


class Array(StandIn):
    """An array of numpy."""

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The array, read-only.

        Raises:
            DamagedPickleError: it isn't of numbers, or of others than its shape says.
        """
        try:
            _, shape, dtype, in_columns, content = self.state
            raw = content.encode("latin-1") if isinstance(content, str) else content
            return np.frombuffer(raw, dtype.value).reshape(shape, order="F" if in_columns else "C")
        except (TypeError, ValueError, AttributeError) as error:
            raise DamagedPickleError(f"it has a damaged array of numpy ({error})") from error


def _scalar(dtype: Any, content: Any = None) -> Any:
    """A number of numpy, as one of Python."""
    if not isinstance(dtype, Dtype) or not isinstance(content, bytes | str):
        return StandIn("numpy.scalar", (dtype, content))
    raw = content.encode("latin-1") if isinstance(content, str) else content
    (number,) = np.frombuffer(raw, dtype.value).tolist()
    return number


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in _ENCODINGS:
        raise DamagedPickleError("its pickle encodes something that is no text")
    return text.encode(encoding)


def _bytearray(content: Any = b"", *encoding: Any) -> bytes:
    return content if isinstance(content, bytes) else _encoded(content, *encoding)


def _items(values: Any) -> Any:
    if not isinstance(values, list | tuple | dict | set | frozenset):
        raise DamagedPickleError("it makes a list of something that has no elements")
    return values


def _dictionary(values: Any = (), *_: Any) -> dict[Any, Any]:
    pairs = values.items() if isinstance(values, dict) else _items(values)
    return {checked_key(key): value for key, value in pairs}


def _set(values: Any = ()) -> set[Any]:
    return {checked_key(value) for value in _items(values)}


def _complex(*parts: Any) -> complex:
    if not all(isinstance(part, int | float) for part in parts):
        raise DamagedPickleError("it makes a number of something else")
    return complex(*parts)


def _device(kind: Any, index: Any = None) -> torch.device:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise DamagedPickleError("it names a device that is none")
    try:
        return torch.device(kind) if index is None else torch.device(kind, index)
    except RuntimeError as error:
        raise DamagedPickleError(f"it names a device that is none ({kind!r:.40})") from error


def _parameter(data: Any, *_: Any) -> Any:
    if not isinstance(data, Tensor | StandIn):
        raise DamagedPickleError("it has a parameter that is no tensor")
    return data


def _in_both(name: str, function: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """A builtin as Python 3 and Python 2 call it."""
    return {f"builtins.{name}": function, f"__builtin__.{name}": function}


_OF_CONTAINERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda *args: OrderedDict(_dictionary(*args)),
    # Only its program has a use for the default.
    "collections.defaultdict": lambda *args: _dictionary(*args[1:]),
    "collections.Counter": _dictionary,
    "collections.deque": lambda values=(), *_: list(_items(values)),
    "torch.Size": lambda values=(): tuple(_items(values)),
    **_in_both("list", lambda values=(): list(_items(values))),
    **_in_both("tuple", lambda values=(): tuple(_items(values))),
    **_in_both("dict", _dictionary),
    **_in_both("set", _set),
    **_in_both("frozenset", lambda values=(): frozenset(_set(values))),
}
_OF_BYTES: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encoded,
    **_in_both("bytearray", _bytearray),
}
_OF_TENSORS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": rebuilt,
    "torch._utils._rebuild_tensor_v2": rebuilt,
    "torch._utils._rebuild_tensor_v3": rebuilt_typed,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
_NUMPY = [f"numpy.{core}.{file}" for core in ("core", "_core") for file in ("multiarray", "numeric")]
_OTHERS: dict[str, Callable[..., Any]] = {
    **_OF_TENSORS,
    **_in_both("complex", _complex),
    "torch.device": _device,
    "numpy.dtype": lambda *args: Dtype("numpy.dtype", args),
    **{f"{file}._reconstruct": lambda *args: Array("numpy.ndarray", args) for file in _NUMPY},
    **{f"{file}.scalar": _scalar for file in _NUMPY},
}
