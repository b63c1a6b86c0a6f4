"""Graphs of models: the service document, the checked graph it becomes, and the revision's canonical form. Pure."""
