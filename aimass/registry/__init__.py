"""Models, their immutable versions and movable aliases, and the artifacts that hold their bytes."""
