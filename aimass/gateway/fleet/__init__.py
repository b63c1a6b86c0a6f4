"""Replicas beside each other: what is known about all of them, and how their loads become even."""
