"""A revision's fan-out nodes as one Serve application without a route: only handles reach it."""

from typing import Any

from ray import serve
from ray.serve.schema import LoggingConfig

from aimass.core.home import Home
from aimass.core.policies import NodeScale
from aimass.serving.batching.rules import Rules
from aimass.serving.layout import Layout
from aimass.serving.nodes.deployment import Node
from aimass.serving.nodes.environment import FAST_SERVE, PRIORITY
from aimass.serving.sizing import size_of

DRAIN_S = 15.0  # a call that runs when its replica is to go may take that long
MAX_ONGOING = 100  # calls in one replica; senders keep to far fewer
CONSTRUCTOR_TRIES = 2  # a replica that cannot load its model will not the next time either


def node_application(home: Home, layout: Layout, rules: Rules) -> serve.Application:
    """The application of ``layout.apps``, each a deployment named as its key.

    ``rules``: how rows wait inside a replica. Serve wants one deployment to hold the others: the last one does.
    """
    bound: list[Any] = []
    for name, fanout in layout.apps.items():
        deployment = _deployment(name, fanout.scale)
        others = bound if len(bound) == len(layout.apps) - 1 else []
        bound.append(deployment.bind(name, home, fanout.layout.to_json(), rules, fanout.scale.gpus, *others))
    application: serve.Application = bound[-1]
    return application


def _deployment(name: str, scale: NodeScale) -> serve.Deployment:
    options: dict[str, Any] = {"num_cpus": scale.cpus, "runtime_env": {"env_vars": {**FAST_SERVE, **PRIORITY}}}
    if scale.gpus:
        options["num_gpus"] = scale.gpus
    surge = 0 if scale.gpus else 100  # there may be no second GPU for a successor beside the one that it replaces
    return serve.deployment(
        Node,
        name=name,
        max_ongoing_requests=MAX_ONGOING,
        max_constructor_retry_count=CONSTRUCTOR_TRIES,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.1,
        health_check_period_s=1,
        health_check_timeout_s=10,
        max_surge_percent=surge,
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
        ray_actor_options=options,
        **size_of(scale),
    )
