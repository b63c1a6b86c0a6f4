"""Accounts and their API keys. Knows no HTTP: both doors and the gateway's state ask here."""
