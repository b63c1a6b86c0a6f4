"""The gateway's replicas, all asked at once."""

import logging
from typing import Any

from ray import serve

from aimass.serving.arrays import APP, DEPLOYMENT

_log = logging.getLogger(__name__)


class Replicas:
    """Safe to use from many threads. Its handle needs Serve's router in a loop of its own, as by default."""

    def __init__(self) -> None:
        self._handle: Any = None

    def broadcast(self, method: str, *arguments: object, timeout_s: float) -> list[object]:
        """One answer per running replica: what it returned, or the error; none when none runs."""
        try:
            if self._handle is None:
                self._handle = serve.get_deployment_handle(DEPLOYMENT, APP)
            response = self._handle.broadcast(method, *arguments)
            answers: list[object] = response.results(timeout_s=timeout_s, return_exceptions=True)
        except Exception as error:  # noqa: BLE001 - no replica, no application, no controller: all mean "nobody now"
            _log.debug("no broadcast of %s: %s", method, error)
            return []
        return answers
