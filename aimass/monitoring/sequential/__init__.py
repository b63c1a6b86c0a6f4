"""Tests and intervals that stay valid however often one looks. Pure: numpy only, no clock, no random numbers."""
