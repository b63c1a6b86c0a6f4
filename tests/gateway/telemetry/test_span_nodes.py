"""What becomes of nodes is seen on their spans: when they ran, retries, hedges, stand-ins, who was cut off."""

from pathlib import Path
from typing import Any

import orjson

from aimass.cli.requests.trace import bars
from aimass.core.clock import Clock, SystemClock
from aimass.core.policies import NodePolicy
from aimass.gateway.state import GatewayState, Limits, RevisionState, ServiceState
from aimass.graph.graph import Graph
from aimass.testing.gateway import Gateway, connect, key
from tests.gateway.telemetry.collector import Collector, check_tree, said
from tests.gateway.telemetry.spans_kit import SAMPLED, TRACE, sending
from tests.serving.engine.engine_graphs import combine, graph, layout_of, model
from tests.serving.engine.faulty import FINE, GONE, SILENT, Faulty, Made, faulty
from tests.serving.virtual_time import run

X = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.2, 0.3, 0.5]}
KIND = {"name": "kind", "datatype": "INT64", "shape": [1], "data": [0]}


async def _ask(
    folder: Path, collector: Collector, found: Graph, remotes: dict[str, Faulty], clock: Clock, **limits: Any
) -> tuple[int, dict[str, Any]]:
    """The status of one sampled call, and its line in the request log."""
    gateway, made = Gateway(folder, clock), Made(found, clock, remotes)
    revision = RevisionState(1, "d", layout_of(found, remotes.__contains__).to_json())
    service = ServiceState("s", "default", Limits(**limits), {1: 100.0}, (revision,))
    with sending(gateway, collector):
        gateway.app.apply(GatewayState(1, (key(),), (service,)), {("s", 1): made.plan})
        async with connect(gateway.app) as client:
            answer = await client.post("/v2/models/s/infer", json={"inputs": [X, KIND]}, headers=SAMPLED)
    gateway.recorder.flush()
    (log,) = (folder / "logs").glob("requests-*.jsonl")
    return answer.status_code, orjson.loads(log.read_bytes())


async def test_tries_and_stand_ins_are_events_of_the_nodes_span(tmp_path: Path, collector: Collector) -> None:
    found = graph(
        model("small", "x"),
        model("big", "x", policy=NodePolicy(retries=1, fallback="small")),
        model("slow", "x", policy=NodePolicy(hedge_after_ms=5)),
        combine("vote", "big", "slow"),
    )
    remotes = faulty("big", GONE) | faulty("small") | faulty("slow", SILENT, FINE)
    status, line = await _ask(tmp_path, collector, found, remotes, SystemClock())
    assert status == 200
    check_tree(collector.spans())
    spans = collector.trace(TRACE)
    big, small, slow, vote = (spans[f"node {name}"] for name in ("big", "small", "slow", "vote"))
    assert {node.parent_span_id for node in (big, small, slow, vote)} == {spans["run"].span_id}
    assert [(event.name, said(event)) for event in big.events] == [
        ("retry", {}),
        ("failure", {"aimass.detail": "unavailable"}),
        ("fallback", {"aimass.detail": "small"}),
    ]
    assert said(big)["error.type"] == "unavailable" and big.status.code == big.status.STATUS_CODE_ERROR
    assert [event.name for event in slow.events] == ["hedge"] and slow.status.code == slow.status.STATUS_CODE_UNSET
    assert big.start_time_unix_nano < big.end_time_unix_nano <= small.start_time_unix_nano
    assert vote.start_time_unix_nano >= max(small.end_time_unix_nano, slow.end_time_unix_nano)
    assert [(event["what"], event["node"]) for event in line["events"] if event["node"] != "slow"] == [
        ("retry", "big"),
        ("failure", "big"),
        ("fallback", "big"),
    ]
    drawn = [text.strip() for text in bars(line)]
    below = drawn[next(index for index, text in enumerate(drawn) if text.startswith("big ")) + 1 :]
    assert below[0].startswith("tried again, ") and below[1].startswith("failed (unavailable), ")
    assert below[2].startswith("small stands in, ")


def test_a_node_that_did_not_answer_in_time_is_seen(tmp_path: Path, collector: Collector) -> None:
    found = graph(model("quick", "x"), model("stuck", "x"), combine("vote", "quick", "stuck"))
    remotes = faulty("quick") | faulty("stuck", SILENT)
    status, line = run(lambda loop: _ask(tmp_path, collector, found, remotes, loop, deadline_ms=80))
    assert status == 504
    root = check_tree(collector.spans())
    spans = collector.trace(TRACE)
    assert said(root)["error.type"] == "504" and set(spans) == {root.name, "run", "node quick", "node stuck"}
    stuck = spans["node stuck"]
    assert said(stuck)["error.type"] == "cut_off"
    assert stuck.end_time_unix_nano > spans["node quick"].end_time_unix_nano
    drawn = {words[0]: text for text in bars(line) if (words := text.split())}
    assert list(drawn) == ["arrive", "run", "quick", "stuck", "total"]
    assert drawn["stuck"].endswith("no answer") and not drawn["quick"].endswith("no answer")
