"""ExecuTorch's files, and its runtime in Python."""

from __future__ import annotations

from typing import Any


def import_reader() -> None:
    """Imports what `read_program` and `write_program` need: ExecuTorch's compiler, which takes a while."""
    from executorch.exir._serialize import _program  # noqa: F401


def read_program(program: bytes) -> Any:
    """A .pte as ExecuTorch's schema has it: `exir._serialize._program.deserialize_pte_binary`.

    Of a program without constants that leaves an empty segment where it is, so that constants which are added
    would be written behind it and looked for in it. Here it becomes the buffer that it was made of.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import Buffer

    file = deserialize_pte_binary(program)
    if not file.program.constant_buffer and all(segment.size == 0 for segment in file.program.segments):
        file.program.segments = []
        file.program.constant_segment.offsets = []
        file.program.constant_buffer = [Buffer(storage=b"")]
    return file


def write_program(file: Any) -> bytes:
    """The .pte of what `read_program` returned: `exir._serialize._program.serialize_pte_binary`."""
    from executorch.exir._serialize._program import serialize_pte_binary

    return bytes(serialize_pte_binary(file, extract_delegate_segments=True))


def load_runtime_program(path: str, data_path: str | None = None, *, profiled: bool = False) -> Any:
    """A program in the runtime: `_C._load_program`. Its `load_method(name)` gives what can be called; of one
    that is profiled, `write_etdump_result_to_file(path)` writes what ran so far."""
    from executorch.extension.pybindings import _C

    return _C._load_program(path, enable_etdump=profiled, data_path=data_path)


def set_runtime_threads(threads: int) -> None:
    """CPU threads of the runtime in this process: `_C._unsafe_reset_threadpool`, while nothing runs."""
    from executorch.extension.pybindings import _C

    _C._unsafe_reset_threadpool(threads)


def runtime_operator_names() -> set[str]:
    """All operators the runtime in this process has kernels for, as in `aten::add.out`:
    `_C._get_operator_names`."""
    from executorch.extension.pybindings import _C

    return set(_C._get_operator_names())
