"""The gateway as a Serve application: how many replicas, how they are placed, scaled, rolled and stopped."""

from ray import serve
from ray.serve.schema import LoggingConfig

from aimass.core.settings import Settings
from aimass.gateway.replica import Gateway, mounted
from aimass.serving.arrays import DEPLOYMENT
from aimass.serving.nodes.environment import FAST_SERVE, PRIORITY
from aimass.serving.sizing import size_of

CPUS = 0.1  # logical: two cores must hold gateway, console, reconciler and a training run
DRAIN_S = 15.0  # the drain takes up to 2.05 s (see `door`) and then as long as the slowest request in flight


def gateway_app(settings: Settings, env: dict[str, str] | None = None) -> serve.Application:
    """The application to run under the name ``gateway``; ``env`` joins the replicas' environment.

    Run again with other bounds of its size only, it grows or shrinks and no replica restarts; run again by other code,
    each replica is replaced by one that answers already.
    """
    replica = mounted(Gateway) if settings.ingress == "serve" else Gateway
    deployment = serve.deployment(
        replica,
        name=DEPLOYMENT,
        max_ongoing_requests=10_000,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.1,
        health_check_period_s=1,
        health_check_timeout_s=10,
        max_surge_percent=100,
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
        ray_actor_options={"num_cpus": CPUS, "runtime_env": {"env_vars": {**FAST_SERVE, **PRIORITY, **(env or {})}}},
        **size_of(settings.gateway_scale),
    )
    return deployment.options(version=settings.replica_version, _internal=True).bind(settings)
