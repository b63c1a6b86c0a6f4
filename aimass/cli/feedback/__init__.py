"""``aimass feedback``: what turned out to be right, told and looked at."""
