"""A whole training step of the native runner against eager PyTorch."""
