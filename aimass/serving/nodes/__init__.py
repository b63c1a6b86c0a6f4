"""Fan-out nodes: steps of a revision that run in Serve deployments of their own, and how the gateway reaches them."""
