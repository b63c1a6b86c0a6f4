"""The ensembles that a run can build: what they have in common, and a file for each kind."""
