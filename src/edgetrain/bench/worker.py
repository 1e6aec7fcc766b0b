"""What a runtime of this package does in its own process: load, and run timed steps when told to."""

from __future__ import annotations

import time

import psutil
import torch
from torch import Tensor, nn

from ..artifacts.program import Program, load_program
from ..engine.memory import peak_rss_bytes
from ..engine.optimizers import make_optimizer
from ..runtimes import open_session
from ..runtimes.base import RuntimeName
from ..runtimes.child import Child
from ..runtimes.kernels import Kernels
from .workload import Memory, Steps, Workload


class ChildWorker:
    """A runtime at work in a process of its own.

    Raises (all methods):
        CheckFailedError: the process crashed.
    """

    def __init__(self, runtime: RuntimeName, kernels: Kernels | None, workload: Workload) -> None:
        self._child = Child(Worker, runtime, kernels, workload, what=f"benchmarking {runtime}")

    def first_step(self) -> tuple[Steps, dict[str, Tensor]]:
        return self._child.call("first_step")

    def run(self, count: int) -> Steps:
        return self._child.call("run", count)

    def memory(self) -> Memory:
        return self._child.call("memory")

    def close(self) -> None:
        self._child.close()


class Worker:
    """What goes on in that process. Batches are taken in order, one per step."""

    def __init__(self, runtime: RuntimeName, kernels: Kernels | None, workload: Workload) -> None:
        torch.set_num_threads(workload.threads)
        batches = torch.load(workload.batches, weights_only=True)
        self._inputs, self._targets = batches["inputs"], batches["targets"]
        self._optimizer_config = workload.optimizer
        self._optimizer: torch.optim.Optimizer | None = None
        self._parameters: dict[str, nn.Parameter] = {}
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
            model=workload.model,
            kernels=kernels,
        )
        self.load_seconds = time.perf_counter() - started

    def first_step(self) -> tuple[Steps, dict[str, Tensor]]:
        """The first step, with its gradients."""
        steps = self.run(1)
        return steps, {name: gradient.clone() for name, gradient in self._session.gradients.items()}

    def run(self, count: int) -> Steps:
        """The next steps, each timed alone."""
        seconds, losses = [], []
        for _ in range(count):
            inputs, targets = self._inputs[self._position], self._targets[self._position]
            self._position += 1
            started = time.perf_counter()
            loss, _ = self._session.forward_backward(inputs, targets)
            self._update()
            seconds.append(time.perf_counter() - started)
            losses.append(loss)
        return Steps(seconds, losses)

    def memory(self) -> Memory:
        """Resident set before loading and at its peak, and the time loading took."""
        return Memory(self.baseline_rss, peak_rss_bytes(), self.load_seconds * 1e3)

    def _update(self) -> None:
        if self._optimizer is None:
            self._parameters = {n: nn.Parameter(t) for n, t in self._session.parameters.items()}
            self._optimizer = make_optimizer(self._optimizer_config, self._parameters.values())
        for name, parameter in self._parameters.items():
            parameter.grad = self._session.gradients[name]
        self._optimizer.step()


def _import_runtime(runtime: RuntimeName) -> None:
    """Imports what a runtime needs, so that loading a program is timed without it."""
    if runtime == "executorch":
        from ..runtimes import executorch_py

        executorch_py.runtime_operators()
    else:
        from ..runtimes import torch_eager  # noqa: F401
