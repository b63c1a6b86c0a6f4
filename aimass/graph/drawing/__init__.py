"""Graphs as pictures: what is to be seen, where it stands, and how it is drawn as text and as SVG. Pure."""
