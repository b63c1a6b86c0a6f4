"""How many replicas a deployment should have [extension point]."""

AUTOSCALING = {"queue_length": "aimass.serving.autoscaling.queue_length:QueueLength"}
