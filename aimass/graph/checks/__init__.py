"""What must hold of nodes and edges before they may stand in a graph."""
