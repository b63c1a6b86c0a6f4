"""The command line: one file per group of commands. Speaks HTTP to the control API; Ray only in ``up`` and ``run``."""
