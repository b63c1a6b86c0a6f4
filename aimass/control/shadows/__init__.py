"""Shadows as an owner sees them: named, stored, and what was seen of them."""
