"""The gateway: Serve replicas that hold every in-process plan and answer calls through a door of their own."""
