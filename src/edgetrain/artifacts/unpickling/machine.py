"""The machine that a pickle is a program for, with limits, and without the operations that import and call.

Python's own one looks names up as it goes. Here a name becomes a `Global`, a call of it what `make` says,
and everything that is done to an object of an unknown class is only written down.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

from .stand_ins import Global, StandIn, children_of

# A file may be far smaller than what its operations make: an empty set takes 216 bytes for one.
_MOST_OPERATIONS = 4_000_000
_DEEPEST = 200
_MOST_VALUES = 10_000_000
_MOST_KEY_PARTS = 16
_MOST_INTEGER_BYTES = 256

Make = Callable[[str, tuple[Any, ...]], Any]
LoadPersistent = Callable[[Any], Any]


class DamagedPickleError(ValueError):
    """A pickle that can't be read, or that asks for more than any file needs."""


def unpickled(
    stream: IO[bytes], make: Make, load_persistent: LoadPersistent, values: Mapping[str, Any]
) -> Any:
    """Runs one pickle, from where the stream is to the end of that pickle.

    Args:
        make: name and arguments of a call → its result; `StandIn` for what it doesn't know. It may raise
            ValueError or TypeError.
        load_persistent: what torch.save keeps outside of the pickle → the same as a value.
        values: names that stand for plain values, as in `torch.float32`.
    Raises:
        DamagedPickleError: it is damaged, or a bomb.
    """
    machine = _Machine(make, load_persistent, values)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= _MOST_OPERATIONS:
                raise DamagedPickleError(f"it has more than {_MOST_OPERATIONS} operations")
            machine.run(opcode.name, argument)
        (result,) = machine.stack
    except DamagedPickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError) as error:
        raise DamagedPickleError(f"its pickle is damaged: {error}") from error
    check_size(result)
    return result


def check_size(value: Any) -> None:
    """Refuses values that are small in memory and large to walk through: lists of lists that are each other's
    elements many times, and lists in themselves.

    Raises:
        DamagedPickleError: so it is.
    """
    # Bottom up, each value once; what lies in stand-ins is theirs.
    sizes: dict[int, tuple[int, int]] = {}
    waiting: list[tuple[Any, bool]] = [(value, False)]
    open_ones: set[int] = set()
    while waiting:
        current, is_done = waiting.pop()
        if not isinstance(current, dict | list | tuple | set | frozenset) or id(current) in sizes:
            continue
        if is_done:
            open_ones.discard(id(current))
            inside = [sizes.get(id(child), (1, 0)) for child in children_of(current)]
            total = 1 + sum(count for count, _ in inside)
            depth = 1 + max((depth for _, depth in inside), default=0)
            if total > _MOST_VALUES or depth > _DEEPEST:
                raise DamagedPickleError("its values are nested more deeply than those of any model")
            sizes[id(current)] = (total, depth)
        elif id(current) in open_ones:
            raise DamagedPickleError("one of its values contains itself")
        else:
            open_ones.add(id(current))
            waiting.append((current, True))
            waiting += [(child, False) for child in children_of(current)]


class _Machine:
    """Stack and memo of a pickle."""

    def __init__(self, make: Make, load_persistent: LoadPersistent, values: Mapping[str, Any]) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._make = make
        self._values = values
        self._load_persistent = load_persistent

    def run(self, name: str, argument: Any) -> None:
        """Does one operation."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            if type(argument) is int and argument.bit_length() > 8 * _MOST_INTEGER_BYTES:
                raise DamagedPickleError("it has an integer that is longer than any")
            self.stack.append(argument)
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _IGNORED:
            pass
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        else:
            raise DamagedPickleError(f"its pickle has the operation {name}, which torch.save doesn't write")

    def since_mark(self) -> list[Any]:
        """Takes everything off the stack that came after the last mark."""
        values = self.stack
        self.stack = self._below.pop()
        return values

    # --- stack and memo

    def mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def pop_mark(self, _: Any) -> None:
        self.since_mark()

    def duplicate(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def get(self, argument: Any) -> None:
        self.stack.append(self._memo[int(argument)])

    def put(self, argument: Any) -> None:
        self._memo[int(argument)] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    # --- containers

    def tuple_of(self, number: int) -> None:
        if len(self.stack) < number:
            raise DamagedPickleError("its pickle takes more from its stack than lies there")
        values = tuple(self.stack[-number:])
        self.stack[-number:] = [values]

    def tuple_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append(tuple(values))

    def list_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append(values)

    def dictionary_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append({checked_key(key): value for key, value in _pairs(values)})

    def frozenset_since_mark(self, _: Any) -> None:
        values = self.since_mark()
        self.stack.append(frozenset(checked_key(value) for value in values))

    def append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def appends(self, _: Any) -> None:
        self._extend(self.since_mark())

    def add_items(self, _: Any) -> None:
        values = self.since_mark()
        if isinstance(self.stack[-1], set):
            self.stack[-1].update(checked_key(value) for value in values)
        else:
            self._extend(values)

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target = target.elements
        if not isinstance(target, list):
            raise DamagedPickleError("its pickle appends to something that is no list")
        target += values

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self.since_mark())

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target.entries += _pairs(values)
        elif isinstance(target, dict):
            for key, value in _pairs(values):
                target[checked_key(key)] = value
        else:
            raise DamagedPickleError("its pickle sets items of something that is no dictionary")

    # --- names and calls

    def global_name(self, argument: Any) -> None:
        self._push_global(str(argument).replace(" ", ".", 1))

    def global_of_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DamagedPickleError("its pickle looks something up by what is no name")
        self._push_global(f"{module}.{name}")

    def _push_global(self, name: str) -> None:
        self.stack.append(self._values[name] if name in self._values else Global(name))

    def extension(self, argument: Any) -> None:
        # A number that programs agree on beforehand stands for a name.
        self.stack.append(Global(f"copyreg.extension {argument}"))

    def reduce(self, _: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self._call(function, args)

    def new_object(self, _: Any) -> None:
        self.reduce(None)

    def new_object_ex(self, _: Any) -> None:
        keywords, args, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if keywords == {}:
            self._call(cls, args)
            return
        if not isinstance(args, tuple):
            raise DamagedPickleError("its pickle calls something with arguments that are none")
        self.stack.append(StandIn(_name(cls), (*args, keywords)))

    def instance(self, argument: Any) -> None:
        args = tuple(self.since_mark())
        self.global_name(argument)
        self._call(self.stack.pop(), args)

    def object_since_mark(self, _: Any) -> None:
        cls, *args = self.since_mark()
        self._call(cls, tuple(args))

    def _call(self, function: Any, args: Any) -> None:
        if not isinstance(args, tuple):
            raise DamagedPickleError("its pickle calls something with arguments that are none")
        if isinstance(function, Global):
            self.stack.append(self._make(function.name, args))
        else:
            # What a call returned, or a method of it, called again.
            self.stack.append(StandIn(_name(function), args))

    def build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, StandIn):
            target.state = state
        # Attributes of dictionaries and tensors are no weights: `_metadata` of a state_dict for one.

    def persistent(self, _: Any) -> None:
        self.stack.append(self._load_persistent(self.stack.pop()))


def _name(function: Any) -> str:
    return function.name if isinstance(function, Global | StandIn) else type(function).__name__


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    if len(values) % 2:
        raise DamagedPickleError("its pickle has a key without a value")
    return list(zip(values[::2], values[1::2], strict=True))


def checked_key(value: Any) -> Any:
    """A key that is hashed in little time: tuples in tuples would take forever.

    Raises:
        DamagedPickleError: it is something else than names, numbers and short tuples of them.
    """
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > _MOST_KEY_PARTS or any(isinstance(part, tuple | frozenset) for part in parts):
        raise DamagedPickleError("it has a key that is no name or number")
    hash(value)
    return value


def _tuples(number: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.tuple_of(number)


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark, "POP": _Machine.pop, "POP_MARK": _Machine.pop_mark, "DUP": _Machine.duplicate,
    "GET": _Machine.get, "BINGET": _Machine.get, "LONG_BINGET": _Machine.get,
    "PUT": _Machine.put, "BINPUT": _Machine.put, "LONG_BINPUT": _Machine.put, "MEMOIZE": _Machine.memoize,
    "TUPLE1": _tuples(1), "TUPLE2": _tuples(2), "TUPLE3": _tuples(3), "TUPLE": _Machine.tuple_since_mark,
    "LIST": _Machine.list_since_mark, "DICT": _Machine.dictionary_since_mark,
    "FROZENSET": _Machine.frozenset_since_mark,
    "APPEND": _Machine.append, "APPENDS": _Machine.appends, "ADDITEMS": _Machine.add_items,
    "SETITEM": _Machine.set_item, "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.global_name, "STACK_GLOBAL": _Machine.global_of_stack,
    "EXT1": _Machine.extension, "EXT2": _Machine.extension, "EXT4": _Machine.extension,
    "REDUCE": _Machine.reduce, "NEWOBJ": _Machine.new_object, "NEWOBJ_EX": _Machine.new_object_ex,
    "INST": _Machine.instance, "OBJ": _Machine.object_since_mark, "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}  # fmt: skip
