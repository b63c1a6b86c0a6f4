"""Rows of several callers in one call: who waits for whom, when they leave, and what becomes of each one's part."""
