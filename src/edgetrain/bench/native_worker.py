"""The native runner at work for `bench`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..artifacts.program import load_program
from ..artifacts.temporary import scratch_folder
from ..artifacts.tensors import read_tensors, write_tensors
from ..artifacts.without_dropout import save_without_dropout
from ..runtimes.native import NativeProcess, optimizer_flags
from .profile import Profile, profile_of_etdump
from .workload import Memory, Steps, Workload, load_batches


class RunnerSteps:
    """edgetrain-runner's command `bench`, told through its stdin how many steps to take.

    Args:
        arguments: of the command.
        runner: another than the one that is installed.
    Raises (all methods):
        EdgetrainError: the runner is not installed, refuses something, or crashed.
    """

    def __init__(self, arguments: Sequence[str | Path], runner: Path | None = None) -> None:
        with contextlib.ExitStack() as stack:
            process = NativeProcess(["bench", *arguments], what="benchmarking native", runner=runner)
            self._process = stack.enter_context(process)
            self._ready = self._process.answer()
            self._peak_rss = 0
            self._open = stack.pop_all()

    def run(self, count: int) -> Steps:
        """The next steps, each timed alone."""
        if count == 0:
            return Steps([], [])
        done = self._process.ask(str(count))
        self._peak_rss = done["peak_rss_bytes"]
        losses = [float("nan") if loss is None else loss for loss in done["losses"]]
        return Steps(done["seconds"], losses)

    def memory(self) -> Memory:
        """What the process needed so far."""
        return Memory(self._ready["rss_bytes"], self._peak_rss, self._ready["load_ms"])

    def finish(self) -> None:
        """Lets the process end by itself, as it has more to write."""
        self._process.finish()

    def close(self) -> None:
        """Ends the process."""
        self._open.close()


class NativeWorker:
    """The native runner on a workload.

    Args:
        profiled: steps to profile, of those it takes first.
    Raises (all methods):
        EdgetrainError: as `RunnerSteps`.
    """

    def __init__(self, workload: Workload, *, profiled: int = 0) -> None:
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(scratch_folder())
            self._workload = workload
            self._program = load_program(workload.program, workload.weights)
            arguments = [*self._files(workload), *optimizer_flags(workload.optimizer)]
            if profiled:
                arguments += ["--profile", self._dump, "--profile-batches", str(profiled)]
            elif self._program.manifest.contract.gradient_method is not None:
                arguments += ["--gradients", self._gradients]
            self._steps = RunnerSteps([*arguments, "--threads", str(workload.threads)])
            stack.callback(self._steps.close)
            self._open = stack.pop_all()

    def _files(self, workload: Workload) -> list[str | Path]:
        program = self._program
        place = program.path
        if program.manifest.dropout and not workload.dropout:
            place = self._folder / program.path.name
            save_without_dropout(program, place)
        stored = load_batches(workload.batches)
        batches = self._folder / "batches.ptd"
        tensors = {**stored.inputs, **stored.targets}
        write_tensors(batches, {name: tensor.flatten(0, 1) for name, tensor in tensors.items()})
        files: list[str | Path] = [place, "--data", batches]
        if program.weights_path is not None:
            files += ["--weights", program.weights_path]
        return [*files, "--batch-size", str(stored.batch_size)]

    @property
    def _gradients(self) -> Path:
        return self._folder / "gradients.ptd"

    @property
    def _dump(self) -> Path:
        return self._folder / "steps.etdp"

    def first_step(self) -> tuple[Steps, dict[str, Tensor]]:
        steps = self.run(1)
        return steps, read_tensors(self._gradients).tensors() if self._gradients.exists() else {}

    def run(self, count: int) -> Steps:
        return self._steps.run(count)

    def profile(self, count: int) -> Profile:
        """The first steps by operator, of a worker that was made to profile one more than these."""
        seconds = self.run(1 + count).seconds
        self._steps.finish()
        contract, data = self._program.manifest.contract, self._workload.program_run(self._program)
        return profile_of_etdump(self._dump, data, contract, seconds)

    def memory(self) -> Memory:
        return self._steps.memory()

    def close(self) -> None:
        self._open.close()
