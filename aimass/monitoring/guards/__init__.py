"""What a candidate may not be worse at than the baseline beside it [extension point]."""

GUARDS = {
    "agreement": "aimass.monitoring.guards.agreement:AgreementGuard",
    "cost": "aimass.monitoring.guards.cost:CostGuard",
    "errors": "aimass.monitoring.guards.errors:ErrorsGuard",
    "latency": "aimass.monitoring.guards.latency:LatencyGuard",
    "quality": "aimass.monitoring.guards.quality:QualityGuard",
}
