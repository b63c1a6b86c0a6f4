"""Runs layouts whose steps may be elsewhere, slow or failing: each starts as soon as its inputs are there."""

import asyncio
from collections.abc import Mapping

from aimass.core.batch import Batch, row_count
from aimass.core.clock import Clock
from aimass.core.errors import Unavailable
from aimass.serving.engine.assembly import Assembly
from aimass.serving.engine.conduct import Conduct
from aimass.serving.engine.counts import NodeCounts
from aimass.serving.engine.flight import Flight, FlowCall
from aimass.serving.engine.nodes import FlowNode, RemoteNode
from aimass.serving.engine.scope import Scope
from aimass.serving.layout import Layout, LayoutNode
from aimass.serving.remote import Remotes


class Flow:
    """One loaded layout of any kind. Used from one event loop; any number of calls may be under way.

    ``local``: what runs in this process, by node. A deployment that ``remotes`` lack is ``Unavailable``.
    """

    def __init__(
        self, layout: Layout, assembly: Assembly, local: Mapping[str, FlowNode], remotes: Remotes, clock: Clock
    ) -> None:
        self._assembly = assembly
        self._clock = clock
        self.counts: NodeCounts = assembly.counts
        self._nodes = {
            node.name: self._conducted(node, local.get(node.name) or _remote(node, remotes))
            for node in layout.nodes_all()
            if node.choice is None
        }
        has_choices = any(node.choice is not None for node in layout.nodes_all())
        has_free_sizes = any(-1 in spec.shape[1:] for spec in layout.inputs)
        self.may_be_shared = not (has_choices or has_free_sizes)
        """Whether rows of several callers may go together: they fit, and none waits for where another's rows go."""

    def start(self, batch: Batch, call: FlowCall) -> "asyncio.Future[Batch]":
        """What will be the outputs, or an error; cancelled, it stops all that was begun for it."""
        flight = Flight(call, self._nodes, self._clock, self.counts)
        if not flight.answer.done():
            assembly = self._assembly
            values = [*(batch[name] for name in assembly.inputs), *assembly.blank]
            scope = Scope(flight, assembly.frame, values, row_count(batch), flight.land, flight.fail)
            flight.results, flight.root = assembly.results, scope
            scope.go()
        return flight.answer

    def _conducted(self, node: LayoutNode, called: FlowNode) -> FlowNode:
        policy = node.policy
        if policy.deadline_ms is None and policy.hedge_after_ms is None and not policy.retries and not policy.breaker:
            return called
        return Conduct(node.name, policy, called, self._clock, self.counts)


def _remote(node: LayoutNode, remotes: Remotes) -> FlowNode:
    remote = remotes.get(node.remote)
    if remote is None:
        raise Unavailable(f"node {node.name!r} runs in deployment {node.remote!r}, which is not there; deploy again")
    return RemoteNode(node.name, remote, node.signature.outputs)
