"""The gateway as a Serve application: how many replicas, how they are placed, scaled, rolled and stopped."""

from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.schema import LoggingConfig

from aimass.core.settings import Settings
from aimass.gateway.replica import Gateway, mounted

APP = "gateway"
DEPLOYMENT = "Gateway"
CPUS = 0.1  # logical: two cores must hold gateway, console, reconciler and a training run
DRAIN_S = 15.0  # the drain takes 1.2 s and then as long as the slowest request in flight

FAST_SERVE = {
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_RECORD_INTERVAL_S": "0.5",
    "OMP_NUM_THREADS": "1",
}
"""Set one by one: the flag that sets them all would also open Serve's own ports."""

PRIORITY = {"RAY_worker_niceness": "0"}
"""Ray runs workers at niceness 15, where all else on the machine, its own daemons included, goes before callers."""


def gateway_app(settings: Settings, env: dict[str, str] | None = None) -> serve.Application:
    """The application to run under the name ``gateway``; ``env`` joins the replicas' environment."""
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
        **_size(settings),
    )
    return deployment.bind(settings)


def _size(settings: Settings) -> dict[str, Any]:
    if settings.gateway_min_replicas == settings.gateway_max_replicas:
        return {"num_replicas": settings.gateway_min_replicas}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=settings.gateway_min_replicas,
            max_replicas=settings.gateway_max_replicas,
            metrics_interval_s=0.5,
            look_back_period_s=2,
            upscale_delay_s=0,
            downscale_delay_s=0,  # the policy itself waits before it shrinks
            policy=AutoscalingPolicy(
                policy_function="aimass.serving.autoscaling.queue_length:QueueLength",
                policy_kwargs={"target": settings.gateway_target_in_flight},
            ),
        )
    }
