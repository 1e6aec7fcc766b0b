"""`python -m edgetrain` is the same as `edgetrain`."""

from __future__ import annotations

import sys

from .cli.app import main

if __name__ == "__main__":
    sys.exit(main())
