"""Models by name: built in, from torchvision, or from the user's own package.

To add one: write `models/NAME.py` with an `nn.Module` and add a line to `registry.py`.
"""

from .build import build_model, is_custom, resolve_model, without_pretrained_weights

__all__ = ["build_model", "is_custom", "resolve_model", "without_pretrained_weights"]
