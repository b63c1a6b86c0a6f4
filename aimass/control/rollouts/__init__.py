"""Rollouts: a revision takes traffic step by step, while guards watch it."""
