"""Each kernel of the native runner against PyTorch's own operator, on the calls of real training steps."""
