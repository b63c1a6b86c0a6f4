"""One platform on one machine, seen through /proc: start it, stop it, clear what a dead one left, say what is wrong."""
