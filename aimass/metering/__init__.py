"""Metering: each answered call becomes one usage event, in the replica's journal first, in the database soon after."""
