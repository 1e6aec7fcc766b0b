"""Several processes training one model under torchrun; a lone process is a world of size 1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist

from ..errors import OtherProcessError

CPU = torch.device("cpu")
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them. All of them must call each method in the same order.

    Attributes:
        rank: number of this process, 0..size-1; rank 0 writes and reports.
        size: number of processes.
        device: where this process computes, and where tensors for the exchange must be.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Adds each value up over all processes."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Whether each flag is set in at least one process."""
        return [value > 0 for value in self._reduce([float(flag) for flag in flags], dist.ReduceOp.MAX)]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def share(self, count: Tensor) -> Tensor:
        """The factor by which this process's mean over `count` things must be weighted, so that the average
        of the weighted means over all processes is the mean over all things.

        Args:
            count: float32 scalar, 0 where this process only takes part for company.
        """
        if self.size == 1:
            return torch.ones_like(count)
        total = count.clone()
        dist.all_reduce(total)
        return count * self.size / total.clamp(min=1.0)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Makes `backward` average gradients over all processes."""
        if self.size == 1:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    def share_buffers(self, model: nn.Module) -> None:
        """Gives every process rank 0's buffers (batch-norm statistics)."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def main_first(self, action: Callable[[], T]) -> T:
        """What `action` returns here. Rank 0 does it before the others, which then find what it left on disk.

        Raises:
            Exception: as the action does in this process.
            OtherProcessError: it failed in another one.
        """
        if self.size == 1:
            return action()
        if self.is_main:
            result = self._together(action)
            self._together(lambda: None)
            return result
        self._together(lambda: None)
        return self._together(action)

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.size > 1:
            self.any([False])

    def _together(self, action: Callable[[], T]) -> T:
        """Does an action, and fails where any process did."""
        try:
            result, error = action(), None
        except Exception as caught:
            result, error = None, caught
        failed = self.gather(error is not None)
        if error is not None:
            raise error
        if any(failed):
            raise OtherProcessError(f"process {failed.index(True)} failed; its message says why")
        return cast(T, result)

    def _reduce(self, values: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=operation)
        return tensor.tolist()


def local_rank() -> int:
    """Number of this process on its machine, as torchrun sets it: which GPU it takes."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_main_process() -> bool:
    """Whether this is rank 0 or a lone process; known before `join_world`."""
    return int(os.environ.get("RANK", 0)) == 0


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Joins the other processes if torchrun started this one: gloo on CPU, nccl on CUDA."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield World(device=device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(rank=dist.get_rank(), size=size, device=device)
    finally:
        dist.destroy_process_group()
