"""What travels between a gateway replica and a node's replicas, and what their applications are called."""

import re
from dataclasses import dataclass

from aimass.core.batch import Batch
from aimass.core.errors import AimassError

Outcome = Batch | AimassError
"""What a node answers: an error of ours is a value on the wire, so that it arrives as what it is."""


def app_name(service: str, revision: int) -> str:
    """The Serve application of a revision's fan-out nodes; its deployments are named as the nodes."""
    return f"{service}-r{revision}"


def revision_of(app: str) -> tuple[str, int] | None:
    """Service and revision of an application of ours; None of another."""
    found = re.fullmatch(r"(.+)-r([1-9][0-9]*)", app)
    return (found[1], int(found[2])) if found else None


@dataclass(frozen=True)
class Errand:
    """What a node's replica must know of a call beside its tensors."""

    rows: int
    left_s: float | None  # until the last deadline of those who asked
    sender: str  # who calls, by a name of its own
    requests: float  # that travel in this call, as far as can be told from its rows
    waiting: float  # the same of those that wait at the sender for this replica
    waited_s: float  # the longest that one of the call had waited


@dataclass(frozen=True)
class Greeting:
    """A replica's answer to whoever asks whether the node works."""

    pid: int
    fixed_us: float  # of a call, whatever its rows
    row_us: float


@dataclass(frozen=True)
class NodesState:
    """A revision's application as its keeper sees it: replicas that run, by node, and why it does not start."""

    replicas: dict[str, int]
    failed: str = ""
