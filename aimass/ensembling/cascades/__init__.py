"""Cascades: who answers which row, how sure members are, and which thresholds are worth their cost."""
