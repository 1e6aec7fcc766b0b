"""What docs/ reports as measured: `python -m benchmarks.step`, `python -m benchmarks.fidelity` and others."""

from edgetrain.cli.quiet import quiet_libraries

quiet_libraries()
