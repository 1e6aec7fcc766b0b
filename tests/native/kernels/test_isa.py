"""The choice of instruction set, and the memory kernels take for themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_caller import KernelCaller, Out

Runner = Callable[..., Any]


def test_an_instruction_set_that_is_not_there(run: Runner, digits_program: Any) -> None:
    done = run("info", digits_program.program, env={**os.environ, "EDGETRAIN_ISA": "mmx"})
    assert done.code == 2
    assert "EDGETRAIN_ISA is mmx, which this processor or build does not have" in done.error
    assert "choose one of baseline" in done.error


def test_training_is_the_same_on_each(
    kernels: KernelCaller, run: Runner, digits_program: Any, packed: Any, tmp_path: Path
) -> None:
    def losses(isa: str) -> list[float]:
        flags = ["-o", tmp_path / "out.ptd", "--batch-size", 8, "--max-steps", 20, "--log-steps"]
        command = ["train", digits_program.program, "--data", packed.train, *flags]
        done = run(*command, env={**os.environ, "EDGETRAIN_ISA": isa})
        assert done.code == 0
        return done.losses

    assert losses(kernels.isa) == pytest.approx(losses("baseline"), rel=1e-4)


def test_scratch_memory_stays_small(kernels: KernelCaller, native_build: Path) -> None:
    fresh = KernelCaller(native_build / "kernel_calls", kernels.isa)
    for channels, size, out_channels in ((3, 32, 32), (32, 16, 64), (64, 8, 128)):  # cifar_cnn's
        x = torch.randn(32, channels, size, size)
        weight = torch.randn(out_channels, channels, 3, 3)
        grad = torch.randn(32, out_channels, size, size)
        settings = [[1, 1], [1, 1], [1, 1], False, [0, 0], 1]
        fresh("aten::convolution.out", x, weight, None, *settings, Out(tuple(grad.shape)))
        outs = [Out(tuple(x.shape)), Out(tuple(weight.shape)), Out((out_channels,))]
        arguments = [grad, x, weight, [out_channels], *settings, [True, True, True]]
        assert fresh("aten::convolution_backward.out", *arguments, *outs).kernel == "edgetrain"
    assert fresh.close() <= 2 << 20
