"""What a runtime of this package does in its own process: load, and run timed steps when told to."""

from __future__ import annotations

import time

import psutil
import torch
from torch import Tensor

from ..artifacts.program import Program, load_program
from ..artifacts.temporary import scratch_folder
from ..engine.comparison import Truth
from ..engine.memory import peak_rss_bytes
from ..runtimes import open_session
from ..runtimes.base import RuntimeName
from ..runtimes.child import Child, Started
from ..runtimes.kernels import Kernels
from ..runtimes.stepping import gradients_of, make_stepper
from .profile import Profile, profile_of_etdump
from .torch_profile import profile_in_torch
from .workload import Memory, Steps, Workload, load_batches


class ChildWorker:
    """A runtime at work in a process of its own.

    Raises (all methods):
        CheckFailedError: the process crashed.
    """

    def __init__(
        self, runtime: RuntimeName, kernels: Kernels | None, workload: Workload, *, profiled: bool = False
    ) -> None:
        what = f"{'profiling' if profiled else 'benchmarking'} {runtime}"
        self._child = Child(
            Worker, runtime, kernels, workload, profiled, what=what, started=Started(alone=True)
        )

    def first_step(self) -> tuple[Steps, dict[str, Tensor]]:
        return self._child.call("first_step")

    def run(self, count: int) -> Steps:
        return self._child.call("run", count)

    def gradient_truths(self) -> dict[str, Truth]:
        """What the first step's gradients should be, of a worker in torch that took none yet."""
        return self._child.call("gradient_truths")

    def profile(self, count: int) -> Profile:
        return self._child.call("profile", count)

    def memory(self) -> Memory:
        return self._child.call("memory")

    def close(self) -> None:
        self._child.close()


class Worker:
    """What goes on in that process. Batches are taken in order, one per step."""

    def __init__(
        self,
        runtime: RuntimeName,
        kernels: Kernels | None,
        workload: Workload,
        profiled: bool = False,
    ) -> None:
        torch.set_num_threads(workload.threads)
        self._batches = load_batches(workload.batches)
        self._optimizer = workload.optimizer
        self._position = 0
        _import_runtime(runtime)
        self.baseline_rss = psutil.Process().memory_info().rss
        started = time.perf_counter()
        program: Program = load_program(workload.program, workload.weights)
        self._session = open_session(
            runtime,
            program,
            dropout=workload.dropout,
            threads=workload.threads,
            trusted=workload.trusted,
            kernels=kernels,
            profiled=profiled,
        )
        self._program, self._workload = program, workload
        self._stepper = make_stepper(self._session, workload.optimizer)
        self.load_seconds = time.perf_counter() - started

    def first_step(self) -> tuple[Steps, dict[str, Tensor]]:
        """The first step, with its gradients as the program returns them; empty where it returns none."""
        gradients: dict[str, Tensor] = {}
        if self._session.contract.gradient_method is not None:
            gradients = gradients_of(self._session, self._batches.batch(self._position))
        return self.run(1), gradients

    def gradient_truths(self) -> dict[str, Truth]:
        """What the gradients of the first step should be, by the program's names. The runtime is torch, and
        has taken no step."""
        from ..runtimes.eager_steps import EagerSteps
        from ..runtimes.torch_eager import TorchSession

        session = self._session
        assert isinstance(session, TorchSession)
        eager = EagerSteps(session.model, session.task, session.batch_norm, self._optimizer)
        found = eager.gradient_truths(*self._batches.batch(0))
        truths = {}
        for name in session.contract.trainable:
            known = [n for n in (name, *session.contract.tensor(name).aliases) if n in found]
            if known:  # not one that the loss doesn't depend on
                truths[name] = found[known[0]]
        return truths

    def run(self, count: int) -> Steps:
        """The next steps, each timed alone."""
        seconds, losses = [], []
        for _ in range(count):
            batch = self._batches.batch(self._position)
            self._position += 1
            started = time.perf_counter()
            (outcome,) = self._stepper.step([batch], self._optimizer.lr)
            seconds.append(time.perf_counter() - started)
            losses.append(outcome.loss)
        return Steps(seconds, losses)

    def profile(self, count: int) -> Profile:
        """Further steps, of a worker that took none yet, by operator. One step before them isn't counted."""
        from ..runtimes.executorch_py import ExecutorchSession

        if not isinstance(self._session, ExecutorchSession):
            self.run(1)
            return profile_in_torch(lambda: self.run(1).seconds[0], count)
        seconds = self.run(1 + count).seconds
        contract, data = self._program.manifest.contract, self._workload.program_run(self._program)
        with scratch_folder() as folder:
            dump = folder / "steps.etdp"
            self._session.save_profile(dump)
            return profile_of_etdump(dump, data, contract, seconds)

    def memory(self) -> Memory:
        """Resident set before loading and at its peak, and the time loading took."""
        return Memory(self.baseline_rss, peak_rss_bytes(), self.load_seconds * 1e3)


def _import_runtime(runtime: RuntimeName) -> None:
    """Imports what a runtime needs, so that loading a program is timed without it."""
    if runtime == "executorch":
        from ..runtimes import executorch_py

        executorch_py.runtime_operators()
    else:
        from ..runtimes import torch_eager  # noqa: F401
