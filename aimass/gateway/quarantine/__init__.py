"""A service that takes so much of a replica that its neighbours suffer: found by its figures, and held back."""
