"""How long payloads stay when a service's revisions say different things: no rollback removes what the newest keeps."""

import numpy as np

from aimass.control import deploy as verbs
from aimass.control.requests.payloads import show, tend
from aimass.core.events import Trace
from aimass.monitoring.payloads.log import Taken, open_log
from aimass.monitoring.payloads.secrets import Private
from aimass.testing.desk import Desk, service_document

DAY_S = 86400.0


def _deploy(desk: Desk, keep_days: float) -> int:
    document = service_document("double@1") + f"payloads: {{sample: 1, keep_days: {keep_days}}}\n"
    return verbs.deploy(desk.context, document).revision


def _keep(desk: Desk, revision: int) -> None:
    log = open_log(desk.settings.home, "replica", {})
    trace = Trace(f"r{revision}", service="twice", revision=revision, status=200, rows=1, account="default")
    log.offer(Taken(trace, desk.clock.now(), 1.0, Private(), {"x": np.ones((1, 2), np.float32)}, {}, 100))
    log.close()


def _kept_after(desk: Desk, days: float) -> int:
    desk.clock.advance(days * DAY_S)
    tend(desk.context)
    return sum(day["calls"] for item in show(desk.context) for day in item["days"])


def test_a_rollback_removes_nothing_that_the_newest_revision_keeps(desk: Desk) -> None:
    _deploy(desk, 1)
    _keep(desk, _deploy(desk, 30))
    tend(desk.context)
    verbs.rollback(desk.context, "twice")
    assert [item["revision"] for item in show(desk.context)[0]["settings"]] == [1]
    assert _kept_after(desk, 29) == 1
    assert _kept_after(desk, 2) == 0


def test_the_revision_before_counts_until_it_is_not_any_more(desk: Desk) -> None:
    _keep(desk, _deploy(desk, 30))
    tend(desk.context)
    _deploy(desk, 1)
    assert _kept_after(desk, 5) == 1
    _deploy(desk, 2)
    assert _kept_after(desk, 0) == 0
