"""Our proto is the public one on the wire: field by field against the messages that Triton's client brings."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as theirs

from aimass.gateway.grpc import messages
from aimass.gateway.grpc.messages import POOL, SERVICE, message

ROOT = Path(__file__).parents[3]
SERVICE_OURS = POOL.FindServiceByName(SERVICE)
SERVICE_THEIRS = theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"]
MESSAGES = sorted(POOL.FindFileByName("inference.proto").message_types_by_name)


def _fields(descriptor: Any) -> dict[int, tuple[Any, ...]]:
    return {
        field.number: (
            field.name,
            field.type,
            field.is_repeated,
            field.is_packed,
            field.message_type and field.message_type.full_name,
            field.containing_oneof and field.containing_oneof.name,
        )
        for field in descriptor.fields
    }


def _same(ours: Any, other: Any) -> None:
    assert _fields(ours) == _fields(other)
    for nested in ours.nested_types:
        _same(nested, other.nested_types_by_name[nested.name])


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_have_the_public_fields(name: str) -> None:
    _same(message(name).DESCRIPTOR, theirs.DESCRIPTOR.message_types_by_name[name])


@pytest.mark.parametrize("method", list(SERVICE_OURS.methods), ids=lambda method: method.name)
def test_methods_have_the_public_types(method: Any) -> None:
    other = SERVICE_THEIRS.methods_by_name[method.name]
    for each in ("input_type", "output_type"):
        assert getattr(method, each).full_name == getattr(other, each).full_name
    assert (method.client_streaming, method.server_streaming) == (other.client_streaming, other.server_streaming)


def test_the_whole_protocol_is_there() -> None:
    protocol = {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"}
    assert {method.name for method in SERVICE_OURS.methods} == protocol | {"ModelStreamInfer", "RepositoryIndex"}


@settings(max_examples=50)
@given(
    name=st.text(max_size=20),
    shape=st.lists(st.integers(-1, 2**40), max_size=4),
    numbers=st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    raws=st.lists(st.binary(max_size=20), max_size=3),
    timeout=st.integers(-(2**63), 2**63 - 1),
)
def test_bytes_mean_the_same_to_both(
    name: str, shape: list[int], numbers: list[float], raws: list[bytes], timeout: int
) -> None:
    request = theirs.ModelInferRequest(model_name=name, raw_input_contents=raws)
    request.parameters["timeout"].int64_param = timeout
    request.inputs.add(name=name, shape=shape, contents={"fp32_contents": numbers})
    wire = request.SerializeToString(deterministic=True)
    ours = messages.ModelInferRequest.FromString(wire)
    assert ours.SerializeToString(deterministic=True) == wire
    np.testing.assert_array_equal(list(ours.inputs[0].contents.fp32_contents), np.array(numbers, np.float32))


def test_the_compiled_proto_is_that_of_its_source(tmp_path: Path) -> None:
    folder, compiled = ROOT / "aimass" / "gateway" / "grpc", tmp_path / "inference.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(folder), f"--descriptor_set_out={compiled}"]
    subprocess.run([*command, "inference.proto"], check=True, timeout=60)
    assert compiled.read_bytes() == (folder / "inference.binpb").read_bytes(), "run: make proto"
