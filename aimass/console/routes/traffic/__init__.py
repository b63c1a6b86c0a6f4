"""``/services/{name}/traffic`` and what goes with it: who takes a service's calls."""
