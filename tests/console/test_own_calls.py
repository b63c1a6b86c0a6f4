"""Over HTTP a key opens the calls of its own account only, and removes no others."""

import httpx
import numpy as np

from aimass.accounts.keys import KeyRequest
from aimass.console.app import console_asgi
from aimass.control import deploy as verbs
from aimass.control import keys
from aimass.core.events import Trace
from aimass.core.ids import AccountId
from aimass.database.tables import AccountRow
from aimass.monitoring.payloads.log import Taken, open_log
from aimass.monitoring.payloads.secrets import Private
from aimass.testing.desk import Desk, service_document


async def test_another_accounts_key_neither_sees_nor_removes_payloads(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    with desk.context.database.session() as session:
        session.add(AccountRow(id="eve", name="eve", created_at=desk.clock.now()))
    log = open_log(desk.settings.home, "replica", {})
    trace = Trace("mine", service="twice", revision=1, status=200, rows=1, account="default")
    log.offer(Taken(trace, desk.clock.now(), 1.0, Private(), {"x": np.ones((1, 2), np.float32)}, {}, 100))
    log.close()
    scopes = KeyRequest("k", ("read", "deploy"))
    mine, eves = (
        {"authorization": "Bearer " + keys.create(context, scopes)["secret"]}
        for context in (desk.context, desk.context.by("eve", AccountId("eve")))
    )
    transport = httpx.ASGITransport(console_asgi(desk.context))
    async with httpx.AsyncClient(transport=transport, base_url="http://console/api/v1") as http:
        assert (await http.get("/payloads", headers=eves)).json() == []
        assert (await http.delete("/payloads", headers=eves)).json()["bytes"] == 0
        for method, path in (
            ("GET", "/payloads?service=twice"),
            ("DELETE", "/payloads?service=twice"),
            ("GET", "/payloads/twice"),
            ("GET", "/requests/mine"),
            ("POST", "/requests/mine/replay"),
        ):
            refused = await http.request(method, path, headers=eves)
            assert (refused.status_code, refused.json()["kind"]) == (403, "denied"), (method, path)
        kept = await http.get("/payloads/twice", headers=mine)
        assert (kept.status_code, kept.content[:4]) == (200, b"PAR1")
        assert (await http.get("/requests/mine", headers=mine)).json()["account"] == "default"
        desk.clock.advance(1)
        await http.delete("/payloads", headers=mine)
        assert (await http.get("/payloads/twice", headers=mine)).status_code == 404
