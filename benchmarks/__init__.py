"""What docs/performance.md reports: `python -m benchmarks.step`, `python -m benchmarks.kernels`."""
