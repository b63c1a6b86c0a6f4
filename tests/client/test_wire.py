"""What the client puts on the wire, against NVIDIA's client of the same protocol."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aimass.client import wire
from aimass.core.batch import Array
from aimass.core.errors import Bug, Denied, Invalid, Limited, NotFound, Timeout, Unavailable
from aimass.core.signature import NUMPY, Datatype, Picture, TensorSpec, datatype_of

IMAGE = TensorSpec("image", Datatype.FP32, (-1, 4))
NUMBERS = [datatype for datatype in Datatype if datatype != Datatype.BYTES]


def split(call: wire.Call) -> tuple[dict[str, Any], bytes]:
    length = int(call.headers[wire.LENGTH])
    return json.loads(call.body[:length]), call.body[length:]


def arrays(datatypes: Sequence[Datatype]) -> st.SearchStrategy[Array]:
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)
    return st.sampled_from(datatypes).flatmap(lambda datatype: hnp.arrays(NUMPY[datatype], shapes))


@given(arrays(NUMBERS))
def test_tensors_leave_as_tritonclient_sends_them(array: Array) -> None:
    theirs = triton.InferInput("x", list(array.shape), datatype_of(array.dtype).value)
    theirs.set_data_from_numpy(array)
    body, length = triton.InferenceServerClient.generate_request_body([theirs])
    header, raw = split(wire.encode("digits", {"x": array}, wire.Wish()))
    assert raw == body[length:]
    assert header["inputs"] == json.loads(body[:length])["inputs"]
    assert header["parameters"] == json.loads(body[:length])["parameters"]


def test_texts_leave_as_tritonclient_sends_them() -> None:
    texts = np.array([["grün".encode(), b""], [b"a\0b", b"x"]], dtype=np.object_)
    theirs = triton.InferInput("x", [2, 2], "BYTES")
    theirs.set_data_from_numpy(texts)
    body, length = triton.InferenceServerClient.generate_request_body([theirs])
    assert split(wire.encode("digits", {"x": texts}, wire.Wish()))[1] == body[length:]
    as_text = np.array([["grün", ""], ["a\0b", "x"]], dtype=np.object_)
    assert split(wire.encode("digits", {"x": as_text}, wire.Wish()))[1] == body[length:]


@given(st.dictionaries(st.sampled_from("abcd"), arrays(NUMBERS), min_size=1))
def test_what_is_encoded_can_be_read_back(batch: dict[str, Array]) -> None:
    call = wire.encode("digits", batch, wire.Wish())
    header, raw = split(call)
    head = json.dumps({"model_name": "digits", "model_version": "3", "outputs": header["inputs"]}).encode()
    answer = wire.decode(200, {wire.LENGTH: str(len(head)), "x-aimass-plan": "fused"}, head + raw)
    assert (answer.service, answer.revision, answer.plan) == ("digits", 3, "fused")
    for name, array in batch.items():
        np.testing.assert_array_equal(answer[name], array)
        assert answer[name].dtype == array.dtype


def test_an_answer_in_json_is_read_too() -> None:
    outputs = [
        {"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [0.5, None]},
        {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["grün"]},
    ]
    body = json.dumps({"model_name": "digits", "model_version": "1", "outputs": outputs}).encode()
    answer = wire.decode(200, {}, body)
    np.testing.assert_array_equal(answer["p"], np.array([[0.5, np.nan]], np.float32))
    assert answer["t"].tolist() == ["grün".encode()]


def test_a_truncated_text_is_a_bug_of_the_server() -> None:
    outputs = [{"name": "t", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}]
    head = json.dumps({"model_name": "digits", "outputs": outputs}).encode()
    with pytest.raises(Bug, match="truncated"):
        wire.decode(200, {wire.LENGTH: str(len(head))}, head + b"\x09\0\0\0ab")


def test_wishes_reach_path_header_and_body() -> None:
    call = wire.encode("digits", {"x": np.zeros(1)}, wire.Wish(revision=7, outputs=["label"], deadline_ms=40))
    assert call.path == "/v2/models/digits/versions/7/infer"
    assert call.headers["x-aimass-deadline-ms"] == "40"
    assert split(call)[0]["outputs"] == [{"name": "label", "parameters": {"binary_data": True}}]


@pytest.mark.parametrize(
    "value, expected",
    [
        (np.arange(4.0), np.arange(4, dtype=np.float32)[None]),
        ([[1, 2, 3, 4]], np.array([[1, 2, 3, 4]], np.float32)),
        (np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32)),
    ],
)
def test_values_fit_the_input(value: Any, expected: Array) -> None:
    for inputs in (value, {"image": value}):
        found = wire.fit(inputs, [IMAGE])["image"]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32


def test_values_that_would_change_are_refused() -> None:
    with pytest.raises(Invalid, match="'count' is float64, expected INT64"):
        wire.fit(np.array([0.5]), [TensorSpec("count", Datatype.INT64, (-1,))])
    with pytest.raises(Invalid, match=r"takes 2 inputs \(image, other\)"):
        wire.fit(np.zeros(4), [IMAGE, TensorSpec("other", Datatype.FP32, (-1, 4))])


def test_metadata_carries_the_picture() -> None:
    picture = Picture(8, 8, 0, 16)
    item = {"name": "image", "datatype": "FP32", "shape": [-1, 64], "parameters": {"picture": picture.to_json()}}
    assert wire.read_inputs({"inputs": [item]}) == (TensorSpec("image", Datatype.FP32, (-1, 64), picture=picture),)


@pytest.mark.parametrize(
    "status, headers, body, error, says",
    [
        (404, {}, b'{"error": "no service", "kind": "not_found"}', NotFound, "^no service$"),
        (429, {"retry-after": "2"}, b'{"error": "slow down", "kind": "limited"}', Limited, "^slow down$"),
        (500, {}, b'{"error": "oh", "kind": "bug", "request_id": "r-1"}', Bug, r"oh \(request r-1; aimass logs"),
        (403, {}, b'{"error": "no", "kind": "of another version"}', Denied, "^no$"),
        (503, {}, b"<html>down</html>", Unavailable, "the server answered 503 <html>"),
        (504, {}, b"", Timeout, "the server answered 504$"),
        (418, {}, b"[]", Bug, "418"),
    ],
)
def test_failures_are_typed(
    status: int, headers: dict[str, str], body: bytes, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        wire.decode(status, headers, body)
    assert getattr(caught.value, "retry_after_s", None) == (2.0 if headers else 0.0)
