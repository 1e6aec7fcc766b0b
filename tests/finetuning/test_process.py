"""A program that ExecuTorch itself would run ends, at worst, a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from executorch.exir.schema import Int, KernelCall

from edgetrain.artifacts.atomic import write_bytes
from edgetrain.artifacts.manifest import file_record, load_manifest, manifest_path, save_manifest
from edgetrain.artifacts.program import deserialize
from edgetrain.config.stages import FinetuneCommand
from edgetrain.errors import CheckFailedError, InputError, InterruptedRun
from edgetrain.finetuning import finetune
from edgetrain.finetuning.stage import finetune_here
from edgetrain.reporting import Reporter
from edgetrain.upstream.files import write_program

DATA = {"name": "digits", "images_per_class": 5, "test_images_per_class": 2}


def command(**finetune: Any) -> FinetuneCommand:
    settings = {"runtime": "executorch", "epochs": 1, **finetune}
    return FinetuneCommand.model_validate({"data": DATA, "finetune": settings})


def changed(made: Any, folder: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a program after a change to `evaluate`, by somebody who makes its hash anew."""
    made.copy_to(folder)
    path = folder / "model.pte"
    file = deserialize(path.read_bytes())
    change(next(plan for plan in file.program.execution_plan if plan.name == "evaluate"))
    write_bytes(path, write_program(file))
    manifest = load_manifest(manifest_path(path))
    save_manifest(manifest_path(path), manifest.model_copy(update={"program": file_record(path)}))
    return path


@pytest.mark.promise("A program that crashes is an error, in a process of its own")
def test_a_program_that_crashes_is_an_error(digits_program: Any, tmp_path: Path) -> None:
    def change(plan: Any) -> None:
        """A kernel is called with numbers where it takes tensors."""
        number = next(i for i, value in enumerate(plan.values) if isinstance(value.val, Int))
        call = next(i for i in plan.chains[0].instructions if isinstance(i.instr_args, KernelCall))
        call.instr_args.args = [number] * len(call.instr_args.args)

    program = changed(digits_program, tmp_path, change)
    with pytest.raises(CheckFailedError, match=r"died of SIG[A-Z]+ while fine-tuning .*model\.pte"):
        finetune(command(), program, tmp_path / "t.ptd")
    assert not (tmp_path / "t.ptd").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems hold no such limit")
def test_a_program_that_wants_more_memory_than_there_is(digits_program: Any, tmp_path: Path) -> None:
    def change(plan: Any) -> None:
        plan.non_const_buffer_sizes[1] = 2**50

    program = changed(digits_program, tmp_path, change)
    with pytest.raises(InputError, match=r"model\.pte needs more memory than this machine has"):
        finetune(command(), program, tmp_path / "t.ptd")


class Endless:
    """In place of the stage: it never looks at a signal."""

    def finetune(self, *given: Any) -> None:
        from edgetrain.runtimes.child import tell

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        tell(("info", "now"))
        time.sleep(600)


@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_a_second_interrupt_ends_what_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgetrain.finetuning import process

    class Impatient(Reporter):
        def info(self, message: str) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            again = f"import os, time; time.sleep(1.5); os.kill({os.getpid()}, {int(signal.SIGINT)})"
            os.spawnl(os.P_NOWAIT, sys.executable, sys.executable, "-c", again)

    monkeypatch.setattr(process, "_Elsewhere", Endless)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        finetune(command(), tmp_path / "model.pte", tmp_path / "t.ptd", reporter=Impatient())
    assert time.monotonic() - started < 60


@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_an_interrupt_saves_and_the_run_goes_on(digits_program: Any, tmp_path: Path, listener: Any) -> None:
    """As without a process of its own: told of a step before the next one begins, it stops there."""

    def stop(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    whole, parts = tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    finetune_here(command(batch_size=4), digits_program.program, whole)
    with pytest.raises(InterruptedRun, match="stopped in epoch 1 after step 3"):
        finetune(command(batch_size=4), digits_program.program, parts, reporter=listener(stop))
    finetune(command(batch_size=4), digits_program.program, parts, resume=True)
    assert whole.read_bytes() == parts.read_bytes()


def test_an_error_in_the_stage_is_its_own(digits_program: Any, tmp_path: Path) -> None:
    config = FinetuneCommand.model_validate({**command().model_dump(), "optimizer": {"lr": 1e30}})
    with pytest.raises(CheckFailedError, match="lower the learning rate"):
        finetune(config, digits_program.program, tmp_path / "t.ptd")
