"""The table of the other model servers, by hand; and what each of them is sent and how its answer is read."""

import dataclasses

import numpy as np
import orjson
import pytest

from benchmarks.dialects import OIP, ROWS
from benchmarks.h2load import read
from benchmarks.peers.batching import venvs
from benchmarks.peers.batching.lineup import BATCHING
from benchmarks.peers.server import PeerError
from benchmarks.peers_report import best_rival, markdown, reach
from benchmarks.report import TIMES, TO, Spread
from benchmarks.results import Measurement, Results
from benchmarks.workloads import SLOW, WORKLOADS

MACHINE = {"cpu": "Some CPU (R) 3", "cores": 2, "memory_gb": 8, "python": "3.11.7"}
ROWS_2 = np.array([[1.0, 2.5], [0.0, 4.0]])


def run(peer: str, workload: str, number: int, rate: float, connections: int = 32) -> Measurement:
    return Measurement(peer, workload, connections, number, rate, 100, 300)


def results(*measurements: Measurement) -> Results:
    titles = {"aimass": "AI Mass", "litserve": "LitServe 1, batched", "kserve": "KServe 2 (without)"}
    return Results("2026-01-02", MACHINE, {"rounds": 2}, titles, measurements)


FOUND = results(
    run("aimass", "W1", 1, 900.0),
    run("aimass", "W1", 2, 800.0),
    run("litserve", "W1", 1, 100.0),
    run("litserve", "W1", 2, 200.0),
    run("kserve", "W1", 1, 140.0),
    run("kserve", "W1", 2, 150.0),
    run("aimass", SLOW.name, 1, 700.0, connections=16),
    run("litserve", SLOW.name, 1, 800.0, connections=16),
    run("kserve", SLOW.name, 1, 9999.0, connections=1),
)


def test_the_rival_is_who_answers_most() -> None:
    """Medians 150 and 145."""
    assert best_rival(FOUND, "W1") == "litserve"
    assert best_rival(FOUND, "W2") == ""


def test_the_call_of_20_ms_is_compared_at_16_connections() -> None:
    assert best_rival(FOUND, SLOW.name) == "litserve"
    assert reach(FOUND, SLOW.name) == Spread(0.875, 0.875, 0.875)


def test_ratios_are_of_one_round() -> None:
    assert reach(FOUND, "W1") == Spread(6.5, 4.0, 9.0)


def test_the_block_names_who_was_beaten_and_what_was_missed() -> None:
    block = markdown(FOUND)
    assert f"| W1 | LitServe 1 | 6.50 {TIMES} (4.00{TO}9.00) | ≥ 3.0 | met |" in block
    assert f"| 20 ms | LitServe 1 | 0.88 {TIMES} (0.88{TO}0.88) | ≥ 1.0 | **missed** |" in block
    assert "W2" not in block


def test_rows_are_written_and_read_in_both_dialects() -> None:
    assert orjson.loads(ROWS.write(ROWS_2).content) == {"rows": ROWS_2.tolist()}
    np.testing.assert_array_equal(ROWS.read(b"[[0.5,0.25]]", 0), [[0.5, 0.25]])
    (tensor,) = orjson.loads(OIP.write(ROWS_2).content)["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([2, 2], [1.0, 2.5, 0.0, 4.0])
    answer = {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.25]}
    np.testing.assert_array_equal(OIP.read(orjson.dumps({"outputs": [answer]}), 0), [[0.5, 0.25]])
    with pytest.raises(PeerError, match="'label'"):
        OIP.read(orjson.dumps({"outputs": [{**answer, "name": "label"}]}), 0)
    assert (OIP.path(WORKLOADS["w3"]), ROWS.path(WORKLOADS["w3"])) == ("/v2/models/vote/infer", "/vote")


def test_every_other_server_has_its_pins() -> None:
    assert set(venvs.names()) == set(BATCHING) - {"aimass"}
    for name in venvs.names():
        lines = (venvs.REQUIREMENTS / f"{name}.txt").read_text().splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        assert all("==" in pin for pin in pins)
        assert f"{name}==" in "\n".join(pins).lower()
        assert BATCHING[name].title.lower().startswith(name)


def test_h2load_tells_what_the_bodies_weighed() -> None:
    output = (
        "finished in 1.00s, 2000.00 req/s, 1.00MB/s\n"
        "requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout\n"
        "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx\n"
        "traffic: 1.20MB (1234567) total, 12.00KB (12345) headers (space savings 90.00%), 200.00KB (200000) data\n"
    )
    found = read(output, "1\t200\t100\n2\t200\t300\n")
    assert dataclasses.asdict(found) | {"p50_us": 0, "p99_us": 0} == {
        "requests": 2000,
        "requests_per_s": 2000.0,
        "p50_us": 0,
        "p99_us": 0,
        "data_bytes": 200000,
    }
