"""Revisions of services: how one is planned from a document, and how those that there are stand."""
