"""Explanations for a load and beside what was measured: quantiles and per cents by hand."""

from aimass.control.revisions.observed import Observed, beside, observe, shares_of
from aimass.database.tables import UsageEventRow
from aimass.gateway.metrics import Snapshot
from aimass.serving.planner.demand import Demand
from aimass.serving.planner.explanation import explain
from aimass.serving.planner.machine import Costs, Machine
from aimass.testing.desk import Desk
from tests.serving.served_models import VOTE, graph_from

CASCADE = """\
service: gate
graph:
  inputs: {image: {datatype: FP32, shape: [-1, 64]}, kind: {datatype: INT64, shape: [-1]}}
  nodes:
    linear: {model: linear@1, inputs: {x: $in.image}}
    forest: {model: forest@1, inputs: {x: $in.image}}
    boosting: {model: boosting@1, inputs: {x: $in.image}}
    gate: {cascade: [linear.probabilities, forest.probabilities, boosting.probabilities], threshold: 0.9}
    pick:
      switch: $in.kind
      cases: {"1": {label: gate.label}}
      else: {label: linear.label}
  outputs: {label: pick.label}
"""


def test_calls_of_most_peoples_rows_are_looked_at(desk: Desk) -> None:
    """A few large ones beside them would belong to another prediction."""
    with desk.context.database.session() as session:
        for seq, (rows, us) in enumerate([(1, 100), (1024, 20_000), (1, 300), (1024, 20_000), (1, 200)]):
            numbers = {"bytes_in": 1, "bytes_out": 1, "total_us": us, "node_us": {"merged": us / 2}, "rows": rows}
            who = {"account": "default", "key_id": "key-a", "service": "gate", "revision": 1, "plan": "merged"}
            ids = {"journal": "j", "seq": seq, "at": float(seq), "request_id": f"r{seq}", "client_id": ""}
            session.add(UsageEventRow(**ids, **who, **numbers))
    with desk.context.database.reading() as session:
        observed = observe(session, "gate", 1)
    assert observed is not None
    assert (observed.calls, observed.rows, observed.rps, observed.p50_us) == (3, 1, 1.25, 200)
    assert observed.nodes["merged"][0] == 100


def test_what_was_off_is_said_in_per_cent() -> None:
    costs = Costs(door_p50_us=100, door_p95_us=200, door_inside_us=20, step_us=1, lone_combine_us=5)
    predicted = explain(graph_from(VOTE), Demand("fused", machine=Machine(costs))).alternative
    assert predicted is not None
    observed = Observed(50, 1, 10.0, 27.2, 80.0, {"vote": (10.0, 12.0)})
    data = beside(observed, predicted, costs)
    inside = 20 + 4 * 6.1 + 5 * 1 + 5
    assert data["whole"]["p50"] == {"measured_us": 27.2, "predicted_us": 54.4, "off_percent": 100.0}
    assert inside == 54.4
    assert data["nodes"]["vote"]["p50"] == {"measured_us": 10.0, "predicted_us": 5, "off_percent": -50.0}


def test_shares_are_of_the_rows_that_came_to_a_chooser() -> None:
    """Of 100 rows 60 stopped at the first member and 30 at the second; whoever asks the third has asked the second."""
    counts = Snapshot()
    for port, rows in (("0", 60), ("1", 30), ("2", 10)):
        counts.nodes["s", "3", "gate", "rows", port] = rows
        counts.nodes["s", "2", "gate", "rows", port] = 7
    counts.nodes["s", "3", "pick", "rows", "1"] = 100
    counts.nodes["s", "3", "pick", "rows", "else"] = 300
    assert shares_of(graph_from(CASCADE), counts, "s", 3) == {
        ("gate", "0"): 1.0,
        ("gate", "1"): 0.4,
        ("gate", "2"): 0.1,
        ("pick", "1"): 0.25,
        ("pick", "else"): 0.75,
    }
    assert shares_of(graph_from(CASCADE), counts, "other", 3) == {}
