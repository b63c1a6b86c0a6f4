"""How a service's calls spread over its revisions [extension point]."""

TRAFFIC = {"weighted": "aimass.serving.traffic.weighted:WeightedTraffic"}
