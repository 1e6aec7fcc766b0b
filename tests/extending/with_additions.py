"""The command line of an edgetrain that has the additions of this folder and of `in_each_process`."""

from __future__ import annotations

import sys

from edgetrain.cli import app
from edgetrain.export import steps
from extending.products_of_squares import products_of_squares


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    steps.ON_JOINT = (steps.Choice(products_of_squares), *steps.ON_JOINT)
    return app.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
