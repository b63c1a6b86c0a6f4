"""How many replicas a deployment should have [extension point]."""

AUTOSCALING = {
    "latency": "aimass.serving.autoscaling.latency:Latency",
    "queue_length": "aimass.serving.autoscaling.queue_length:QueueLength",
    "schedule": "aimass.serving.autoscaling.schedule:Schedule",
}
