"""``aimass traffic`` and its kin: who takes a service's calls."""
