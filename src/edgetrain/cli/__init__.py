"""The command line. A command is thin: options become a configuration, a stage runs, its result is shown."""
