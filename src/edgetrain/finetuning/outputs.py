"""Which files a run writes, and in which runtime it runs."""

from __future__ import annotations

from pathlib import Path

from ..artifacts.manifest import load_manifest, manifest_path
from ..config.stages import FinetuneCommand
from ..runner import find_runner


def default_output(program: Path) -> Path:
    """`NAME.tuned.ptd` beside NAME.pte; `NAME.tuned.pte` where the program carries its weights."""
    beside = manifest_path(program)
    inline = beside.is_file() and load_manifest(beside).weights is None
    return program.with_name(f"{program.stem}.tuned{'.pte' if inline else '.ptd'}")


def output_files(output: Path, runtime: str, to_pth: Path | None = None) -> list[Path]:
    """Every file a run with these outputs writes."""
    program = [manifest_path(output)] if output.suffix == ".pte" else []
    checkpoint = [to_pth] if to_pth else []
    return [output, *program, history_path(output), state_path(output, runtime), *checkpoint]


def history_path(output: Path) -> Path:
    """`tuned.history.json` beside `tuned.ptd`."""
    return output.with_name(f"{output.stem}.history.json")


def state_path(output: Path, runtime: str) -> Path:
    """What a run is resumed from: `tuned.state` of the native runner, `tuned.state.pth` of the others."""
    return output.with_name(f"{output.stem}.state{'' if runtime == 'native' else '.pth'}")


def with_runtime(config: FinetuneCommand, resumed: Path | None = None) -> FinetuneCommand:
    """The configuration with a runtime in place of `auto`.

    Args:
        resumed: output of the run that is to be resumed, which then goes on where it was saved.
    """
    if config.finetune.runtime != "auto":
        return config
    native = find_runner() is not None
    if resumed is not None and not state_path(resumed, "native").exists():
        native = native and not state_path(resumed, "executorch").exists()
    chosen = config.finetune.model_copy(update={"runtime": "native" if native else "executorch"})
    return config.model_copy(update={"finetune": chosen})
