"""Alembic's folder. To add a migration: change tables.py, then ``python -m aimass.database.draft "what changes"``."""
