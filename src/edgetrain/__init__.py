"""edgetrain: from a PyTorch model on a server to fine-tuning on an edge device with ExecuTorch."""

__version__ = "0.1.0"
