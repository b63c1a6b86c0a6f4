"""Monitoring: what is written down about each request, and how it is read again."""
