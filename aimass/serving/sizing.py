"""A deployment's size as Ray Serve takes it: a fixed one, or bounds with the policy that its owner names."""

import inspect
from typing import Any

from aimass.core import plugins
from aimass.core.errors import Invalid
from aimass.core.policies import NodeScale
from aimass.serving.autoscaling import AUTOSCALING
from aimass.serving.autoscaling.base import Autoscaling


def size_of(scale: NodeScale) -> dict[str, Any]:
    """The keywords of ``serve.deployment`` that say it."""
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    if scale.min == scale.max:
        return {"num_replicas": scale.min}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=scale.min,
            initial_replicas=max(1, scale.min),  # who starts it waits for an answer
            max_replicas=scale.max,
            metrics_interval_s=0.5,
            look_back_period_s=2,
            upscale_delay_s=0,
            downscale_delay_s=0,  # the policy itself waits before it shrinks
            policy=AutoscalingPolicy(
                policy_function=AUTOSCALING.get(scale.policy, scale.policy), policy_kwargs=policy_options(scale)
            ),
        )
    }


def policy_of(scale: NodeScale) -> Autoscaling:
    """The policy; ``Invalid`` where there is none of that name, or not with these options."""
    kind = plugins.load(AUTOSCALING, scale.policy, "policy")
    try:
        policy: Autoscaling = kind(**policy_options(scale))
    except TypeError as error:
        takes = ", ".join(
            f"{name}{' (needed)' if parameter.default is parameter.empty else ''}"
            for name, parameter in inspect.signature(kind).parameters.items()
        )
        given = ", ".join(scale.policy_options or {}) or "none"
        said = f"policy {scale.policy!r} takes the options {takes}; given: {given}"
        raise Invalid(said, field="policy_options") from error
    return policy


def policy_options(scale: NodeScale) -> dict[str, Any]:
    """Its arguments: ``target_ongoing``, where the policy has a target of that kind, under what is said."""
    kind = plugins.load(AUTOSCALING, scale.policy, "policy")
    target = {"target": scale.target_ongoing} if "target" in inspect.signature(kind).parameters else {}
    return {**target, **(scale.policy_options or {})}
