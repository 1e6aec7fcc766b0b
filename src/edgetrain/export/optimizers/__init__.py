"""Optimizers as a part of a program's graph."""
