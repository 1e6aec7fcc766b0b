"""What this machine and this installation can do, found out without endangering the one who asks.

Compiled packages are imported in child processes: a crash in one of them is a finding, not the end.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .. import __version__
from ..errors import EdgetrainError, UsageError
from ..runner import find_compiler, find_kernels, how_to_build, require_runner, runner_environment
from .dependencies import dependencies

_PACKAGES = ("torch", "torchvision", "executorch")
_PROBE_TIMEOUT_S = 180

_TORCH_PROBE = """
import torch
print(json.dumps({"sum": torch.ones(3).sum().item(), "cuda": torch.cuda.is_available(),
    "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None}))
"""

_TORCHVISION_PROBE = """
from edgetrain.vision import import_torchvision
import_torchvision()
from torchvision import models, transforms
from edgetrain.upstream import has_vision_operators
print(json.dumps({"compiled": has_vision_operators()}))
"""

_RUNTIME_PROBE = """
from executorch.runtime import Runtime
print(json.dumps({"operators": len(Runtime.get().operator_registry.operator_names)}))
"""

_KERNELS_PROBE = """
from edgetrain.runtimes.kernels import register_kernels
from edgetrain.upstream import runtime_operator_names
runtime_operator_names()  # the runtime has to be there before its kernels
register_kernels(b"")
print(json.dumps({}))
"""

_TRAINING_PROBE = """
from executorch.extension.training import TrainingModule
print(json.dumps({}))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        state: ok; missing (something doesn't work); optional (it is absent and the main job works without);
            untested (it is newer than what edgetrain was tested with).
        advice: what to do where the state is not ok.
    """

    name: str
    state: Literal["ok", "missing", "optional", "untested"]
    detail: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Looks at everything, cheap things first."""
    yield Finding("edgetrain", "ok", __version__)
    yield Finding("python", "ok", platform.python_version())
    yield from _versions()
    yield from _others()
    yield from _torch()
    yield _torchvision()
    yield _probed("executorch runtime", _RUNTIME_PROBE, "{operators} operators", "executorch")
    yield _probed("executorch training", _TRAINING_PROBE, "programs can be fine-tuned", "executorch")
    yield Finding("processors", "ok", f"{_usable_cpus()} usable, {platform.machine()}")
    yield _memory()
    yield _runner()
    yield _kernels()
    yield _compiler()


def pins() -> dict[str, str]:
    """The versions this edgetrain is made for, as in {"torch": "2.13"}; empty where it is not installed."""
    try:
        requirements = importlib.metadata.requires("edgetrain") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    matches = (re.match(r"([A-Za-z0-9_.-]+?)\s*==\s*([0-9.]+?)\.\*", text) for text in requirements)
    return {match[1]: match[2] for match in matches if match}


def probe(code: str, timeout_s: float = _PROBE_TIMEOUT_S) -> dict[str, Any] | str:
    """Runs code in a child process.

    Args:
        code: prints one JSON object as its last line; `json` is imported already.
    Returns:
        the object, or one line saying why there is none.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-c", f"import json\n{code}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout_s:g} seconds"
    except OSError as error:
        return f"can't start Python: {error.strerror}"
    if child.returncode < 0:
        return f"the import crashed (signal {-child.returncode})"
    try:
        answer = json.loads(child.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    return answer if child.returncode == 0 and isinstance(answer, dict) else f"exit code {child.returncode}"


def _versions() -> Iterator[Finding]:
    wanted = pins()
    for package in _PACKAGES:
        pin = wanted.get(package)
        requirement = f'"{package}=={pin}.*"' if pin else package
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, "missing", "not installed", f"pip install {requirement}")
            continue
        if pin and not version.startswith(f"{pin}."):
            yield Finding(package, "missing", f"{version}; made for {pin}", f"pip install {requirement}")
        else:
            yield Finding(package, "ok", version)


def _others() -> Iterator[Finding]:
    """The other packages: one line for all that are right, one for each that isn't."""
    right = 0
    for dependency in dependencies():
        name = dependency.name
        if name in _PACKAGES:
            continue
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "missing", "not installed", f'pip install "{name}{dependency.versions}"')
            continue
        verdict = dependency.judge(version)
        right += verdict == 0 and dependency.tested is not None
        if verdict < 0:
            advice = f'pip install "{name}{dependency.versions}"'
            yield Finding(name, "missing", f"{version}; older than {dependency.oldest}", advice)
        elif verdict > 0:
            advice = f'if something fails: pip install "{name}=={dependency.tested}"'
            yield Finding(name, "untested", f"{version}; tested with {dependency.range}", advice)
    if right:
        yield Finding("other dependencies", "ok", f"{right} within the tested ranges")


def _torch() -> Iterator[Finding]:
    answer = probe(_TORCH_PROBE)
    if isinstance(answer, str):
        yield Finding("torch import", "missing", answer, _reinstall("torch"))
        return
    yield Finding("torch import", "ok", "computes")
    if answer["cuda"]:
        yield Finding("CUDA", "ok", str(answer["gpu"]))
    else:
        yield Finding(
            "CUDA", "optional", "none; training runs on the CPU", "a GPU build of torch, where there is a GPU"
        )


def _torchvision() -> Finding:
    answer = probe(_TORCHVISION_PROBE)
    if isinstance(answer, str):
        return Finding("torchvision import", "missing", answer, _reinstall("torchvision"))
    if answer["compiled"]:
        return Finding("torchvision import", "ok", "with compiled operators")
    return Finding(
        "torchvision import", "ok", "without compiled operators (a build for another torch); not needed here"
    )


def _probed(name: str, code: str, detail: str, package: str) -> Finding:
    answer = probe(code)
    if isinstance(answer, str):
        return Finding(name, "missing", answer, _reinstall(package))
    return Finding(name, "ok", detail.format(**answer))


def _reinstall(package: str) -> str:
    pin = pins().get(package)
    requirement = f'"{package}=={pin}.*"' if pin else package
    return f"pip install --force-reinstall {requirement}"


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if memory.available < 2**30:
        return Finding("memory", "optional", detail, "close other programs; export needs about 1 GiB")
    return Finding("memory", "ok", detail)


def _runner() -> Finding:
    try:
        path = require_runner()
        command = [str(path), "--help"]
        subprocess.run(command, env=runner_environment(), capture_output=True, timeout=20, check=True)
    except UsageError as error:
        return Finding("native runner", "missing", "not where the environment says", str(error))
    except EdgetrainError as error:
        return Finding("native runner", "optional", "none; finetune uses executorch instead", str(error))
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
        detail = said[-1] if said else str(error)
        return Finding("native runner", "missing", f"does not start: {detail}", _reinstall("executorch"))
    return Finding("native runner", "ok", str(path))


def _kernels() -> Finding:
    try:
        path = find_kernels()
    except UsageError as error:
        return Finding("fast kernels", "missing", "not where the environment says", str(error))
    if path is None:
        return Finding(
            "fast kernels", "optional", "none; executorch runs on its own, slower ones", how_to_build()
        )
    answer = probe(_KERNELS_PROBE)
    if isinstance(answer, str):
        return Finding("fast kernels", "missing", answer, _reinstall("executorch"))
    return Finding("fast kernels", "ok", str(path))


def _compiler() -> Finding:
    found = find_compiler()
    if found is None:
        advice = "install g++ or clang"
        return Finding("C++ compiler", "optional", "none; needed to build the native runner", advice)
    return Finding("C++ compiler", "ok", found)
