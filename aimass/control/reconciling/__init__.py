"""What the reconciler does by itself, part by part: what it knows, Serve's applications and their replicas, journals
drained, what is half done or has expired, and how desired and actual differ."""
