"""Planned memory: what lives when in a method, in which order it should run, and where everything lies."""
