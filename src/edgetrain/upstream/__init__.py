"""Every use of what PyTorch and ExecuTorch don't promise to keep: private names, and keys of their graphs.

With a new version of either, this package is what to check; nothing else in edgetrain knows their insides.
All imports stand inside functions, so that importing it loads neither.
"""

# The versions that all of this was checked against.
CHECKED = {"torch": "2.13", "executorch": "1.5"}
