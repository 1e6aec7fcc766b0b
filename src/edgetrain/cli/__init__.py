"""The command line. A command is thin: options become a configuration, a stage runs, its result is shown."""

from ..collector import collect_seldom

# Before the imports of the modules in here.
collect_seldom()
