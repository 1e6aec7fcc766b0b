"""Pickles as data: whatever one says, nothing is imported or called, and little memory and time is taken."""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.unpickling import DamagedPickleError, Global, StandIn, stand_ins_in, unpickled
from edgetrain.artifacts.unpickling.constructors import Constructors
from edgetrain.artifacts.unpickling.tensors import DTYPES


def _load(content: bytes) -> Any:
    return unpickled(io.BytesIO(content), Constructors(len(content)).make, lambda value: value, DTYPES)


class Harmful:
    """Runs a command when it is unpickled, as key, element, state, argument or whatever else."""

    def __init__(self, command: str, how: str = "reduce") -> None:
        self.command = command
        self.how = how

    def __reduce__(self) -> Any:
        call = (os.system, (self.command,))
        if self.how == "state":
            return (Holder, (), Harmful(self.command))
        if self.how == "items":
            return (list, (), None, iter([Harmful(self.command)]))
        if self.how == "entries":
            return (dict, (), None, None, iter([(Harmful(self.command), 1)]))
        if self.how == "setter":
            # What is called with the object and its state.
            code = f"import os; os.system({self.command!r})"
            return (str, (code,), {}, None, None, exec)
        return call


class Holder:
    def __setstate__(self, state: Any) -> None:
        self.state = state


@pytest.mark.promise(
    "Nothing that a file of torch.save names is imported or called, and no bomb is unpacked", cases=1
)
@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("how", ["reduce", "state", "items", "entries", "setter"])
@pytest.mark.parametrize("place", [lambda h: h, lambda h: {"w": [1, (h,)]}, lambda h: {(1, 2): h}])
def test_calls_in_every_position(
    tmp_path: Path, protocol: int, how: str, place: Callable[[Any], Any]
) -> None:
    proof = tmp_path / "proof"
    content = pickle.dumps(place(Harmful(f"touch {proof}", how)), protocol=protocol)
    names = [found.name for found in stand_ins_in(_load(content))]
    # What a setter returns is thrown away.
    assert ("posix.system" in names) is (how != "setter")
    assert not proof.exists()
    pickle.loads(content)
    assert proof.exists(), "the trap works"


@pytest.mark.promise(
    "Nothing that a file of torch.save names is imported or called, and no bomb is unpacked", cases=1
)
@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'touch {}'\ntR.",
        b"(S'touch {}'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch {}'\no.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x00\x85R.",
        b"\x80\x02cos\nsystem\nU\x04true\x85\x81.",
        b"\x80\x04cos\nsystem\n)}\x92.",
        b'c__builtin__\neval\n(S\'open("{}", "w")\'\ntR.',
        b"c__builtin__\ngetattr\n(cos\nsystem\nS'__call__'\ntR(S'touch {}'\ntR.",
        b"cedgetrain_not_there\nname\n.",
    ],
)
def test_every_opcode_that_looks_up_or_calls(tmp_path: Path, content: bytes) -> None:
    proof = tmp_path / "proof"
    before = set(sys.modules)
    value = _load(content.replace(b"{}", str(proof).encode()))
    assert isinstance(value, Global | StandIn)
    assert set(sys.modules) == before
    assert not proof.exists()


@pytest.mark.promise(
    "Nothing that a file of torch.save names is imported or called, and no bomb is unpacked", cases=1
)
def test_the_extension_registry(tmp_path: Path) -> None:
    copyreg.add_extension("os", "system", 240)
    try:
        for opcode in (b"\x82\xf0", b"\x83\xf0\0", b"\x84\xf0\0\0\0"):
            value = _load(b"\x80\x02" + opcode + b"U\x04true\x85R.")
            assert value.name == "copyreg.extension 240"
    finally:
        copyreg.remove_extension("os", "system", 240)


def test_operations_that_torch_save_has_no_use_for() -> None:
    for content in (b"Pname\n.", b"\x97.", b"\x80\x05N\x98."):
        with pytest.raises(DamagedPickleError, match=r"which torch\.save doesn't write"):
            _load(content)


def _nested(depth: int) -> bytes:
    return b"]" * depth + b"a" * (depth - 1) + b"."


def _doubled(times: int) -> bytes:
    """A list of twice the list before, as often as said."""
    return b"\x80\x02]" + b"".join(b"2\x86" for _ in range(times)) + b"."


BOMBS = {
    "depth": _nested(100_000),
    "small values that are large": _doubled(60),
    "tuples as keys": b"}" + b"I1\n" + b"2\x86" * 60 + b"Ns.",
    "itself": b"]q\0h\0a.",
    "operations": b"\x80\x02" + b"\x8f" * 4_100_000 + b".",
    "bytes of nothing": b"c__builtin__\nbytearray\n(I1099511627776\ntR.",
    "copies": b"(" + b"X" + (10**6).to_bytes(4, "little") + b"x" * 10**6 + b"q\0"
    + b"c_codecs\nencode\nq\1" + b"h\1h\0U\6latin1\x86R" * 5000 + b"l.",
    "copies of lists": b"(]q\0(" + b"N" * 10**6 + b"e0"
    + b"cbuiltins\nlist\nq\1" + b"h\1h\0\x85R" * 500 + b"l.",
    "an integer": b"\x8b\0\0\0\x01" + b"\x7f" * 2**24 + b".",
    "a length beyond the end": b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"x.",
    "a list of a tensor": b"cbuiltins\nlist\n(X\3\0\0\0abctR.",
}  # fmt: skip


@pytest.mark.promise(
    "Nothing that a file of torch.save names is imported or called, and no bomb is unpacked", cases=1
)
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(DamagedPickleError):
        _load(BOMBS[name])
    assert time.process_time() - began < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * 2**20, "KiB"


def test_dtypes_and_plain_values() -> None:
    values = {
        "list": [1, 2**70, -3.5, None, True], "tuple": (b"x", "ü"), "set": {1, 2}, "dtype": torch.bfloat16,
        "frozen": frozenset({"a"}), "complex": 1 + 2j, "bytes": bytearray(b"ab"),
    }  # fmt: skip
    for protocol in (0, 1, 2, 3, 4, 5):
        assert _load(pickle.dumps(values, protocol=protocol)) == values


@pytest.mark.promise(
    "Nothing that a file of torch.save names is imported or called, and no bomb is unpacked", cases=40
)
@pytest.mark.parametrize("seed", range(40))
def test_mutated_pickles(tmp_path: Path, seed: int) -> None:
    """Bytes changed, taken out and put in: a value or a clean error, and never the command."""
    proof = tmp_path / "proof"
    whole = {"a": [1, (2.5, Harmful(f"touch {proof}"))], "b": {"c": {1, 2}}, "d": Global("x.y"), "e": Kept()}
    generator = random.Random(seed)
    for protocol in (0, 2, 4):
        original = pickle.dumps(whole, protocol=protocol)
        for _ in range(40):
            content = bytearray(original)
            for _ in range(generator.randint(1, 4)):
                at = generator.randrange(len(content))
                kind = generator.randrange(3)
                if kind == 0:
                    content[at] = generator.randrange(256)
                elif kind == 1:
                    del content[at : at + generator.randint(1, 4)]
                else:
                    content[at:at] = generator.choice(
                        [b"R", b"b", b"(", b"0", b"2", b"u", b"\x93", b"cos\nsystem\n"]
                    )
            with contextlib.suppress(DamagedPickleError):
                _load(bytes(content))
    assert not proof.exists()


class Kept:
    """An object with attributes."""

    def __init__(self) -> None:
        self.x = [1]
