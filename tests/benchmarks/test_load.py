"""What the load generator printed, read; and that it was driven with the bodies that were made."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks.load import POINTS, Load, LoadError, read
from benchmarks.workloads import WORKLOADS, Body, make_bodies, write_requests

UNSEEN = np.random.default_rng(0).integers(0, 17, (100, 64)).astype(np.float32)


def test_the_result_line_is_found_between_what_wrk_prints() -> None:
    latency = list(range(len(POINTS)))
    line = f'RESULT {{"requests":600,"duration_us":2000000,"latency_us":{latency},"refused":1,"broken":2}}'
    load = read(f"Running 2s test\n  1 threads\n{line}\n")
    assert load == Load(600, 2_000_000, tuple(latency), 1, 2)
    assert load.requests_per_s == 300.0
    assert load.percentile_us(1.0) == 0
    assert load.percentile_us(99.99) == len(POINTS) - 1


def test_no_result_is_an_error() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        read("unable to connect to 127.0.0.1:1 Connection refused")


def rows_of(body: Body) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A second reading of a body, by the protocol's text."""
    head = orjson.loads(body.content[: body.header_bytes] if body.header_bytes else body.content)
    tensor = head["inputs"][0]
    if body.header_bytes:
        assert tensor["parameters"]["binary_data_size"] == len(body.content) - body.header_bytes
        values = np.frombuffer(body.content[body.header_bytes :], np.float32)
    else:
        values = np.array(tensor["data"], np.float32)
    return values.reshape(tensor["shape"])


@pytest.mark.parametrize("name", WORKLOADS)
def test_bodies_hold_their_rows_and_differ(name: str) -> None:
    workload = WORKLOADS[name]
    bodies = make_bodies(workload, UNSEEN)
    assert len({body.content for body in bodies}) == len(bodies) >= 16
    for body in bodies:
        assert body.rows.shape == (workload.rows, 64)
        np.testing.assert_array_equal(rows_of(body), body.rows)
    assert [body.content for body in make_bodies(workload, UNSEEN)] == [body.content for body in bodies]


def test_requests_are_whole(tmp_path: Path) -> None:
    bodies = make_bodies(WORKLOADS["w2-binary"], UNSEEN, count=3)
    requests = write_requests(tmp_path, WORKLOADS["w2-binary"], bodies, {"authorization": "Bearer x"})
    assert [(tmp_path / f"{number}.http").read_bytes() for number in (1, 2, 3)] == requests
    head, _, content = requests[1].partition(b"\r\n\r\n")
    assert content == bodies[1].content
    assert head.startswith(b"POST /v2/models/linear/infer HTTP/1.1\r\n")
    assert f"content-length: {len(content)}".encode() in head
    assert b"authorization: Bearer x" in head
