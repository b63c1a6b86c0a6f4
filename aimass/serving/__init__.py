"""Serving: from a graph to a plan, from a plan to answers; knows no HTTP and no database."""
