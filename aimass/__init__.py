"""AI Mass: a self-hosted Model-as-a-Service platform on Ray."""

__version__ = "0.1.0"
