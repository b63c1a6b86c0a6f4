"""Training: one configuration fitted, many tried through Ray Tune, and how good they are. Knows no registry."""
