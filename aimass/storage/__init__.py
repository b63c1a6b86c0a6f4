"""Artifacts by the SHA-256 of their bytes."""

STORES = {
    "local": "aimass.storage.local:LocalStore",
}
