"""How a service's calls spread over its revisions [extension point]."""

TRAFFIC = {
    "weighted": "aimass.serving.traffic.weighted:WeightedTraffic",
    "sticky": "aimass.serving.traffic.sticky:StickyTraffic",
    "steps": "aimass.serving.traffic.steps:StepsTraffic",
    "thompson": "aimass.serving.traffic.thompson:ThompsonTraffic",
}
