"""A step that runs somewhere else, as whoever runs a layout sees it. Knows neither Ray nor the wire."""

from collections.abc import Awaitable, Mapping
from typing import Protocol

from aimass.core.batch import Batch


class Remote(Protocol):
    """One fan-out deployment. Used from one event loop; any number of calls may be under way."""

    def call(self, batch: Batch, rows: int, deadline_s: float | None) -> Awaitable[Batch]:
        """The deployment's outputs for the rows of ``batch``, which must fit its layout's signature.

        ``deadline_s`` is on the monotonic clock. Raises our errors: ``Unavailable`` where nobody could answer (the same
        call may be made again), ``Timeout`` past the deadline, else what the deployment itself raised. Cancelling the
        awaitable lets go of the rows; the calls that they would have left with go on.
        """


Remotes = Mapping[str, Remote]
"""By the name that ``LayoutNode.remote`` gives: the deployments of one revision."""
