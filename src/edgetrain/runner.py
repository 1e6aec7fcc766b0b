"""Where the native runner and its kernels are installed, and how the runner is started."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shlex
import shutil
import sys
import urllib.parse
from pathlib import Path

from .errors import EdgetrainError, UsageError

OVERRIDE = "EDGETRAIN_RUNNER"  # environment variable: another build of the runner
KERNELS_OVERRIDE = "EDGETRAIN_KERNELS"  # the same for the kernels' library
_RUNNER = "edgetrain/bin/edgetrain-runner"
_SOURCES = "edgetrain/native"
_KERNELS = f"edgetrain/lib/libedgetrain_kernels.{'dylib' if sys.platform == 'darwin' else 'so'}"


def find_runner() -> Path | None:
    """The runner, or None where edgetrain was installed without it.

    Raises:
        UsageError: $EDGETRAIN_RUNNER names no program.
    """
    chosen = os.environ.get(OVERRIDE)
    if chosen:
        if not Path(chosen).is_file() or not os.access(chosen, os.X_OK):
            raise UsageError(
                f"{OVERRIDE} is set to {chosen}, which is no program that can be run; correct or unset it"
            )
        return Path(chosen)
    path = _installed(_RUNNER)
    return path if path is not None and os.access(path, os.X_OK) else None


def find_kernels() -> Path | None:
    """The library of kernels for ExecuTorch in Python, or None where edgetrain was installed without it.

    Raises:
        UsageError: $EDGETRAIN_KERNELS names no file.
    """
    chosen = os.environ.get(KERNELS_OVERRIDE)
    if chosen:
        if not Path(chosen).is_file():
            raise UsageError(
                f"{KERNELS_OVERRIDE} is set to {chosen}, which does not exist; correct or unset it"
            )
        return Path(chosen)
    path = _installed(_KERNELS)
    return path if path is not None and path.is_file() else None


def _installed(name: str) -> Path | None:
    try:
        return Path(str(importlib.metadata.distribution("edgetrain").locate_file(name)))
    except importlib.metadata.PackageNotFoundError:
        return None


def require_runner() -> Path:
    """The runner.

    Raises:
        EdgetrainError: it is not installed; says what to do.
    """
    path = find_runner()
    if path is None:
        raise EdgetrainError(
            f"the native runner is not installed: {how_to_build()}; or use --runtime executorch"
        )
    return path


def require_sources() -> Path:
    """The sources of the runner: those of the repository that this is, or installed with the package.

    Raises:
        EdgetrainError: it was installed without them; says what to do.
    """
    for path in (Path(__file__).parents[2] / "native", _installed(_SOURCES)):
        if path is not None and (path / "CMakeLists.txt").is_file():
            return path
    raise EdgetrainError(f"the sources of the native runner are not installed: {how_to_build()}")


def how_to_build() -> str:
    """What to do where it was installed without runner and kernels; names the folder that it came from."""
    source = "edgetrain"
    try:
        record = json.loads(importlib.metadata.distribution("edgetrain").read_text("direct_url.json") or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        record = {}
    url = urllib.parse.urlparse(record.get("url", ""))
    if url.scheme == "file":
        source = shlex.quote(urllib.parse.unquote(url.path))
        source = f"--editable {source}" if record.get("dir_info", {}).get("editable") else source
    command = f"pip install --verbose --force-reinstall --no-deps {source}"
    if find_compiler() is None:
        return f"install a C++ compiler (such as g++), then run '{command}'"
    return f"run '{command}', which builds it or shows why it can't"


def find_compiler() -> str | None:
    """The C++ compiler that a build would take."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def runner_environment() -> dict[str, str]:
    """The environment to start it in: the runtime's libraries are found wherever executorch is installed."""
    environment = dict(os.environ)
    spec = importlib.util.find_spec("executorch")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        known = environment.get("LD_LIBRARY_PATH")
        environment["LD_LIBRARY_PATH"] = f"{folder}/lib{os.pathsep}{known}" if known else f"{folder}/lib"
    return environment


def main() -> None:
    """The command `edgetrain-runner`: becomes the runner."""
    try:
        path = require_runner()
    except EdgetrainError as error:
        sys.exit(f"edgetrain-runner: {error}")
    try:
        os.execve(path, ["edgetrain-runner", *sys.argv[1:]], runner_environment())
    except OSError as error:
        sys.exit(f"edgetrain-runner: can't start {path}: {error.strerror}")
