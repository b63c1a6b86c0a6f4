"""Ensembles: which members are worth having, and how their outputs become one."""
