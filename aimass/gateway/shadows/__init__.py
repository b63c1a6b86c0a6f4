"""Shadows: other plans that run a share of the calls beside the one that answers, and are compared with it."""
