"""Builds a native runner that has kernels for given programs and nothing else."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..artifacts.atomic import write_bytes
from ..artifacts.manifest import manifest_path
from ..artifacts.program_needs import ProgramNeeds, needs_of
from ..artifacts.temporary import scratch_folder
from ..errors import EdgetrainError, InputError
from ..reporting import SILENT, Reporter
from ..runner import require_sources

RUNNER = Path("bin") / "edgetrain-runner"
# By backend, the component of native/CMakeLists.txt that installs its library.
_LIBRARIES = {"XnnpackBackend": "xnnpack"}


@dataclass(frozen=True)
class Target:
    """The device that a runner is built for; as it stands, one like this machine.

    Attributes:
        toolchain: CMake's toolchain file of a cross compiler.
        executorch: the executorch package of the device's architecture, as unpacked from its wheel.
        isas: instruction sets that the runner has kernels for, as in avx2; native for the best one of this
            machine, none for all of the architecture.
    """

    toolchain: Path | None = None
    executorch: Path | None = None
    isas: tuple[str, ...] = ("native",)


@dataclass(frozen=True)
class BuiltRunner:
    """A folder for a device, with the runner in `bin` and ExecuTorch's runtime in `lib`.

    Attributes:
        runner_bytes: of the runner alone, stripped.
        folder_bytes: of all files that were written.
        needs: what it has kernels for.
    """

    runner: Path
    runner_bytes: int
    folder_bytes: int
    needs: ProgramNeeds


def build_runner(
    programs: Sequence[Path],
    folder: Path,
    target: Target | None = None,
    *,
    build: Path | None = None,
    reporter: Reporter = SILENT,
) -> BuiltRunner:
    """Builds a runner for some programs from the sources that edgetrain was installed with.

    Args:
        folder: where `bin` and `lib` are written.
        build: where to compile, and to find what an earlier build left; default: a temporary folder.
    Raises:
        InputError: a program is missing or damaged.
        EdgetrainError: the tools or the sources are missing, or do not build.
    """
    needs = needs_of(_read(program) for program in programs)
    adopt = not all(manifest_path(program).is_file() for program in programs)
    target = target or Target()
    with _folder(build) as work, scratch_folder() as stage:
        tools = _Tools()
        reporter.info(f"building a runner with {len(needs.operators)} operators; this takes minutes")
        tools.cmake("-S", require_sources(), "-B", work, *_flags(needs, target, adopt))
        tools.cmake("--build", work, "--target", "edgetrain-runner", "--parallel", os.cpu_count() or 1)
        for component in ("runner", *(_LIBRARIES[name] for name in needs.backends if name in _LIBRARIES)):
            tools.cmake("--install", work, "--prefix", stage, "--strip", "--component", component)
        files = [path for path in sorted(stage.rglob("*")) if path.is_file()]
        for path in files:
            _place(path, folder / path.relative_to(stage))
        sizes = {path.relative_to(stage): path.stat().st_size for path in files}
    return BuiltRunner(folder / RUNNER, sizes[RUNNER], sum(sizes.values()), needs)


class _Tools:
    """CMake, from PATH or beside this Python, where pip puts it."""

    def __init__(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        self._environment = {**os.environ, "PATH": path}
        if shutil.which("ninja", path=path):
            self._environment.setdefault("CMAKE_GENERATOR", "Ninja")
        self._cmake = shutil.which("cmake", path=path)
        if self._cmake is None:
            raise EdgetrainError(
                "building a runner needs CMake 3.28 or newer, which is not installed; run "
                "'pip install cmake ninja'"
            )

    def cmake(self, *arguments: str | Path | int) -> None:
        command = [str(self._cmake), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment)
        if done.returncode:
            reason = _reason((done.stderr + done.stdout).strip().splitlines())
            raise EdgetrainError(f"the runner could not be built: {reason}")


def _reason(said: list[str]) -> str:
    """The first error of what CMake or the compiler said; CMake's own has its text on the next lines."""
    for place, line in enumerate(said):
        if line.startswith("CMake Error"):
            text = " ".join(after.strip() for after in said[place + 1 : place + 4])
            return text.strip() or line
        if "error:" in line:
            return line.strip()
    return said[-1] if said else "CMake gave no reason"


def _flags(needs: ProgramNeeds, target: Target, adopt: bool) -> Iterator[str]:
    yield "-DEDGETRAIN_OPERATORS=" + ";".join(needs.operators)
    yield "-DEDGETRAIN_TYPES=" + ";".join(needs.types)
    yield "-DEDGETRAIN_CONVOLUTIONS=" + ";".join(",".join(map(str, c)) for c in needs.convolutions)
    yield "-DEDGETRAIN_ISAS=" + ";".join(target.isas)
    yield f"-DEDGETRAIN_ADOPT={'ON' if adopt else 'OFF'}"
    yield "-DEDGETRAIN_PROFILE=OFF"
    yield f"-DCMAKE_PREFIX_PATH={target.executorch or _executorch()}"
    if target.toolchain is not None:
        yield f"-DCMAKE_TOOLCHAIN_FILE={target.toolchain.resolve()}"
    # A compiler that is newer than these sources may know new warnings.
    yield "-DEDGETRAIN_WERROR=OFF"


def _executorch() -> Path:
    spec = importlib.util.find_spec("executorch")
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise EdgetrainError("building a runner needs the package executorch, which is not installed")
    return Path(folders[0])


def _read(program: Path) -> bytes:
    try:
        return program.read_bytes()
    except OSError as error:
        raise InputError(f"can't read {program}: {error.strerror}") from error


def _place(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, source.read_bytes())
    path.chmod(source.stat().st_mode)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with scratch_folder() as folder:
        yield folder
