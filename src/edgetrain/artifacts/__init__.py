"""What lies on disk: how each file is written, read and checked."""
