"""Which files a run writes, and in which runtime it runs."""

from __future__ import annotations

from pathlib import Path

from ..artifacts.kinds import Written
from ..artifacts.manifest import load_manifest, manifest_path
from ..artifacts.run_state import load_run
from ..config.stages import FinetuneCommand
from ..errors import InputError, UsageError
from ..runner import find_runner
from ..runtimes.kernels import choose_kernels


def default_output(program: Path) -> Path:
    """`NAME.tuned.ptd` beside NAME.pte; `NAME.tuned.pte` where the program carries its weights."""
    beside = manifest_path(program)
    inline = beside.is_file() and load_manifest(beside).weights is None
    return program.with_name(f"{program.stem}.tuned{'.pte' if inline else '.ptd'}")


def output_files(output: Path, to_pth: Path | None = None) -> dict[Path, Written]:
    """Every file a run with these outputs writes, and what it holds."""
    files: dict[Path, Written] = {output: "file of weights"}
    if output.suffix == ".pte":
        files = {output: "program", manifest_path(output): "manifest"}
    files |= {history_path(output): "history", state_path(output): "state of a fine-tuning run"}
    return files if to_pth is None else {**files, to_pth: "checkpoint"}


def history_path(output: Path) -> Path:
    """`tuned.history.json` beside `tuned.ptd`."""
    return output.with_name(f"{output.stem}.history.json")


def state_path(output: Path) -> Path:
    """What a run is resumed from: `tuned.state.ptd` beside `tuned.ptd`."""
    return output.with_name(f"{output.stem}.state.ptd")


def source_beside(program: Path) -> Path | None:
    """The checkpoint a program was exported from, if one of its name lies beside it. It may be another.

    None also where the manifest can't be read, which loading the program says better.
    """
    try:
        record = load_manifest(manifest_path(program)).checkpoint
    except InputError:
        return None
    path = program.with_name(Path(record.name).name) if record else None
    return path if path is not None and path.is_file() else None


def with_runtime(config: FinetuneCommand, resumed: Path | None = None) -> FinetuneCommand:
    """The configuration with a runtime and kernels in place of `auto`.

    Args:
        resumed: output of the run that is to be resumed, which then goes on where it was saved.
    Raises:
        UsageError: the runtime has no choice of kernels.
        EdgetrainError: the kernels asked for are not installed.
    """
    runtime: str = config.finetune.runtime
    kernels = config.finetune.kernels
    if runtime == "auto":
        native = find_runner() is not None and kernels == "auto"
        saved = _saved_in(resumed) if resumed is not None and kernels == "auto" else None
        runtime = saved or ("native" if native else "executorch")
    if runtime == "executorch":
        kernels = choose_kernels(None if kernels == "auto" else kernels)
    elif kernels != "auto":
        raise UsageError(
            f"--kernels {kernels} is for the executorch runtime, {runtime} has only its own; leave it out"
        )
    chosen = config.finetune.model_copy(update={"runtime": runtime, "kernels": kernels})
    return config.model_copy(update={"finetune": chosen})


def _saved_in(output: Path) -> str | None:
    """The runtime that saved the state beside an output; None where there is none that can be read, which is
    for the run to say."""
    try:
        return load_run(state_path(output)).record.runtime
    except InputError:
        return None
