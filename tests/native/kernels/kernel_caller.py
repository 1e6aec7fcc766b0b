"""Calls one kernel of the native runner at a time, in a process that waits for calls."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

_NAMES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "long",
    torch.int32: "int",
    torch.uint8: "byte",
    torch.bool: "bool",
}


@dataclass(frozen=True)
class Out:
    """An output of a call, by its largest size."""

    size: tuple[int, ...]
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Onto:
    """An output that is written onto an argument, a tensor of that size before it."""

    index: int
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Answer:
    """Whose kernel ran (edgetrain, executorch, or failed), and its outputs."""

    kernel: str
    outputs: list[torch.Tensor]


@dataclass(frozen=True)
class Timing:
    """Whose kernel ran, and the median of a call's seconds."""

    kernel: str
    seconds: float


class KernelCaller:
    """The program kernel_calls."""

    def __init__(self, program: Path, isa: str, threads: int = 1) -> None:
        self.isa = isa
        self._process = subprocess.Popen(
            [program, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "EDGETRAIN_ISA": isa},
        )

    def __call__(self, operator: str, *arguments: Any) -> Answer:
        """Tensors, Outs, Ontos, numbers, bools, lists of them, strings, None, tuples of tensors and None, in
        the schema's order."""
        outs: list[Out | Onto] = []
        for argument in arguments:
            several = argument if isinstance(argument, list) else [argument]
            outs += [each for each in several if isinstance(each, Out | Onto)]
        kernel = self._ask(operator, arguments)
        return Answer(kernel, [self._read_output(out) for out in outs])

    def time(self, seconds: float, operator: str, *arguments: Any) -> Timing:
        """Repeats the same call for that long."""
        kernel = self._ask(f"time {seconds} {operator}", arguments)
        assert self._process.stdout is not None
        return Timing(kernel, float(self._process.stdout.readline()))

    def close(self) -> int:
        """The bytes of scratch memory the kernels took."""
        _, said = self._process.communicate()
        return int(said.split()[-1])

    def _ask(self, head: str, arguments: tuple[Any, ...]) -> str:
        """Whose kernel ran."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = f"{head} {len(arguments)}\n".encode()
        self._process.stdin.write(line + b"".join(map(_encode, arguments)))
        self._process.stdin.flush()
        kernel = self._process.stdout.readline().decode().strip()
        assert kernel, f"{head} crashed"
        return kernel

    def _read_output(self, out: Out | Onto) -> torch.Tensor:
        assert self._process.stdout is not None
        size = [int(number) for number in self._process.stdout.readline().split()][1:]
        tensor = torch.empty(size, dtype=out.dtype)
        data = self._process.stdout.read(tensor.nbytes)
        return torch.frombuffer(bytearray(data), dtype=out.dtype).reshape(size) if data else tensor


def _encode(argument: Any) -> bytes:
    if argument is None:
        return b"n\n"
    if isinstance(argument, torch.Tensor):
        data: np.ndarray[Any, Any] = argument.detach().contiguous().numpy()
        return _describe("t", argument.dtype, tuple(argument.shape)) + data.tobytes()
    if isinstance(argument, Out):
        return _describe("o", argument.dtype, argument.size)
    if isinstance(argument, Onto):
        return f"a {argument.index}\n".encode()
    if isinstance(argument, str):
        return f"s {argument}\n".encode()
    if isinstance(argument, list) and argument and isinstance(argument[0], torch.Tensor | Out):
        return f"v {len(argument)}\n".encode() + b"".join(map(_encode, argument))
    if isinstance(argument, tuple):
        return f"w {len(argument)}\n".encode() + b"".join(map(_encode, argument))
    if isinstance(argument, list):
        kind = "m" if argument and isinstance(argument[0], bool) else "l"
        return f"{kind} {len(argument)} {' '.join(str(int(value)) for value in argument)}\n".encode()
    kind = {bool: "b", int: "i", float: "d"}[type(argument)]
    value = int(argument) if kind == "b" else argument
    return f"{kind} {value}\n".encode()


def _describe(kind: str, dtype: torch.dtype, size: tuple[int, ...]) -> bytes:
    return f"{kind} {_NAMES[dtype]} {len(size)} {' '.join(map(str, size))}\n".encode()


def eager(operator: str, *arguments: Any, dtypes: list[torch.dtype]) -> list[torch.Tensor]:
    """What PyTorch's operator of that name writes to outputs of these types."""
    name, _, overload = operator.removeprefix("aten::").partition(".")
    function = getattr(getattr(torch.ops.aten, name), overload)
    schema = function._schema.arguments
    outs = [torch.empty(0, dtype=dtype) for dtype in dtypes]
    names = [argument.name for argument in schema if argument.is_out]
    given = [argument for argument in schema if not argument.is_out]
    assert len(given) == len(arguments)
    keywords: dict[str, Any] = {}
    positional = []
    for argument, value in zip(given, arguments, strict=True):
        value = list(value) if isinstance(value, tuple) else value
        if argument.kwarg_only:
            keywords[argument.name] = value
        else:
            positional.append(value)
    lists = str(schema[-1].type).startswith("List")
    keywords.update({names[0]: outs} if lists else dict(zip(names, outs, strict=True)))
    function(*positional, **keywords)
    return outs


def check(kernels: KernelCaller, operator: str, *arguments: Any, dtype: torch.dtype = torch.float32) -> None:
    """That our kernel does what PyTorch's does, into an output as large as needed."""
    (expected,) = eager(operator, *arguments, dtypes=[dtype])
    answer = kernels(operator, *arguments, Out(tuple(expected.shape), dtype))
    assert answer.kernel == "edgetrain", operator
    torch.testing.assert_close(answer.outputs[0], expected, rtol=0, atol=0, equal_nan=True)


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The distance to the exact result, as a share of its norm."""
    assert actual.shape == expected.shape
    if expected.numel() == 0:
        return 0.0
    distance = torch.linalg.vector_norm(actual.double() - expected.double())
    return float(distance / torch.linalg.vector_norm(expected.double()).clamp(min=1e-30))
