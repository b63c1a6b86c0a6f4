"""Payloads: what services were asked and answered, kept for those that say so."""
