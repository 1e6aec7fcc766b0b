"""Keeps libraries from talking over the command line."""

from __future__ import annotations

import sys
import warnings

# They warn at import about compiled parts and deprecations that are none of the user's business.
_LOUD_LOGGERS = ("torchao", "torch.utils._pytree")


def quiet_libraries(*, debug: bool = False) -> None:
    """Silences warnings and logs of libraries; called before they are imported, and undone by `--debug`."""
    if debug:
        return
    import logging

    for name in _LOUD_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
