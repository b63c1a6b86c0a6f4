"""``aimass graph``: services as pictures."""
