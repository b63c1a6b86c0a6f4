"""Single calls as verbs: what was kept of them, where their time went, the same once more."""
