"""What this machine charges for a call through the door and for a hop to a node, measured on its running platform."""
