"""The physical plans: one file each, from a graph to the layout that a replica executes."""
