"""A fan-out node's size: its autoscaling policy made from what the service document says of it."""

import inspect
from typing import Any

from aimass.core import plugins
from aimass.core.errors import Invalid
from aimass.core.policies import NodeScale
from aimass.serving.autoscaling import AUTOSCALING
from aimass.serving.autoscaling.base import Autoscaling


def policy_of(scale: NodeScale) -> Autoscaling:
    """The policy; ``Invalid`` where there is none of that name, or not with these options."""
    kind = plugins.load(AUTOSCALING, scale.policy, "policy")
    try:
        policy: Autoscaling = kind(**policy_options(scale))
    except TypeError as error:
        raise Invalid(
            f"policy {scale.policy!r} does not take these options: {error}", field="policy_options"
        ) from error
    return policy


def policy_options(scale: NodeScale) -> dict[str, Any]:
    """Its arguments: the node's ``target_ongoing``, where the policy has a target of that kind, under what is said."""
    kind = plugins.load(AUTOSCALING, scale.policy, "policy")
    target = {"target": scale.target_ongoing} if "target" in inspect.signature(kind).parameters else {}
    return {**target, **(scale.policy_options or {})}
