"""Which loaded plans a replica holds in memory: bounded, the least recently used goes first, a call wakes it."""
