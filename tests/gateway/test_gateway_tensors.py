"""The fast reading of JSON agrees with the strict one, on whatever a caller may send."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import AimassError
from aimass.core.signature import NUMPY, Datatype, Signature, TensorSpec
from aimass.gateway.protocols.oip import InferRequest, RequestReader
from aimass.gateway.protocols.tensors import TensorReader, TensorWriter

NUMERIC = [datatype for datatype in Datatype if datatype not in (Datatype.BOOL, Datatype.BYTES)]
EDGES = [0, -0.0, 1, -1, 0.1, 127, 128, 255, 256, -128, -129, 32767, 65504, 65520, 65536, 2**31, 2**32, 2**53 + 1]
EDGES += [
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    1e10,
    3.4028234663852886e38,
    3.5e38,
    1e308,
    1e-320,
]
scalars = st.one_of(
    st.sampled_from(EDGES), st.integers(-300, 300), st.floats(allow_nan=False, allow_infinity=False, width=32)
)
odd: st.SearchStrategy[Any] = st.sampled_from([None, True, "1", [], [1.0], {}])
flat = st.lists(st.one_of(scalars, scalars, scalars, odd), max_size=9)
nested = st.lists(st.lists(scalars, max_size=4), max_size=4)


def _read(reader: RequestReader, text: bytes, *, fast: bool) -> InferRequest | tuple[str, str]:
    reader._can_be_fast = fast and all(TensorReader(item.spec).fast for item in reader._readers)
    try:
        return reader.read(text)
    except AimassError as error:
        return error.field, str(error)


@given(
    datatype=st.sampled_from([*NUMERIC, Datatype.BOOL]),
    missing=st.booleans(),
    shape=st.one_of(st.just([3, 3]), st.lists(st.integers(-1, 4), max_size=3)),
    data=st.one_of(flat, nested, st.just(7)),
    more=st.sampled_from(
        [{}, {}, {"id": "a"}, {"id": 3}, {"outputs": [{"name": "y"}]}, {"parameters": {"timeout": 5}}]
    ),
)
def test_fast_and_strict_reading_agree(
    datatype: Datatype, missing: bool, shape: list[int], data: Any, more: dict[str, Any]
) -> None:
    spec = TensorSpec("x", datatype, (-1, 3), allow_missing=missing)
    reader = RequestReader(Signature((spec,), (TensorSpec("y", Datatype.FP32, (-1,)),)), 100)
    document = {"inputs": [{"name": "x", "datatype": datatype.value, "shape": shape, "data": data}], **more}
    text = json.dumps(document).encode()
    fast, strict = _read(reader, text, fast=bool(TensorReader(spec).fast)), _read(reader, text, fast=False)
    if isinstance(strict, tuple):
        assert fast == strict
        return
    assert isinstance(fast, InferRequest)
    assert (fast.id, fast.rows, fast.timeout_us, fast.wanted) == (
        strict.id,
        strict.rows,
        strict.timeout_us,
        strict.wanted,
    )
    np.testing.assert_array_equal(fast.batch["x"], strict.batch["x"])
    assert fast.batch["x"].dtype == strict.batch["x"].dtype == NUMPY[datatype]


def test_usual_requests_take_the_fast_ways() -> None:
    specs = tuple(
        TensorSpec(name, datatype, (-1, 2)) for name, datatype in (("a", Datatype.FP32), ("b", Datatype.INT8))
    )
    reader = RequestReader(Signature(specs, ()), 100)
    inputs = [
        {"name": spec.name, "datatype": spec.datatype.value, "shape": [2, 2], "data": [1, 2, 3, 4]} for spec in specs
    ]
    for document in ({"inputs": inputs}, {"id": "x", "inputs": inputs, "parameters": {}}):
        for read in (reader._read_small, reader._read_fast):
            request = read(json.dumps(document).encode())
            assert request is not None
            assert request.batch["b"].tolist() == [[1, 2], [3, 4]]
            assert request.batch["b"].dtype == np.int8


@given(values=st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_binary_floats_are_refused_exactly_when_not_finite(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    reader = TensorReader(TensorSpec("x", Datatype.FP32, (-1,)))
    if np.isfinite(array).all():
        np.testing.assert_array_equal(reader.read_bytes(memoryview(array.tobytes()), [len(values)]), array)
    else:
        with pytest.raises(AimassError, match="NaN or infinity"):
            reader.read_bytes(memoryview(array.tobytes()), [len(values)])


def test_missing_values_enter_as_nan_where_they_may() -> None:
    reader = TensorReader(TensorSpec("x", Datatype.FP32, (-1,), allow_missing=True))
    assert np.array_equal(reader.read_json([1, None], [2]), [1, np.nan], equal_nan=True)
    raw = np.array([np.nan, 2], np.float32)
    assert np.array_equal(reader.read_bytes(memoryview(raw.tobytes()), [2]), raw, equal_nan=True)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_strings_survive_both_ways(values: list[str]) -> None:
    spec = TensorSpec("s", Datatype.BYTES, (-1,))
    array = TensorReader(spec).read_json(values, [len(values)])
    assert array.tolist() == values
    head, raw = TensorWriter(spec).binary(array)
    assert json.loads(head)["parameters"]["binary_data_size"] == len(raw)
    assert TensorReader(spec).read_bytes(memoryview(raw), [len(values)]).tolist() == values
    assert json.loads(TensorWriter(spec).json(array))["data"] == values


@pytest.mark.parametrize(
    "raw", [b"\x05\x00\x00\x00abc", b"\x01\x00", b"\x02\x00\x00\x00\xff\xfe", b"\x01\x00\x00\x00ab", b""]
)
def test_broken_strings_are_refused(raw: bytes) -> None:
    with pytest.raises(AimassError) as caught:
        TensorReader(TensorSpec("s", Datatype.BYTES, (-1,))).read_bytes(memoryview(raw), [1])
    assert caught.value.field == "s"


@pytest.mark.parametrize("datatype", [item for item in Datatype if item is not Datatype.BYTES])
def test_outputs_of_every_datatype_are_written(datatype: Datatype) -> None:
    array = np.array([[0, 1], [1, 0]], dtype=NUMPY[datatype])
    for spec in (TensorSpec("y", datatype, (-1, 2)), TensorSpec("y", datatype, (-1, -1))):
        written = json.loads(TensorWriter(spec).json(array))
        assert written["datatype"] == datatype.value
        assert np.array(written["data"]).reshape(written["shape"]).tolist() == array.tolist()
        head, raw = TensorWriter(spec).binary(array.T)
        assert json.loads(head)["shape"] == [2, 2]
        assert np.frombuffer(raw, NUMPY[datatype]).reshape(2, 2).tolist() == array.T.tolist()
