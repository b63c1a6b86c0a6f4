"""Versions made from versions: the same model at another precision."""
