"""The Open Inference Protocol as a client speaks it, with binary tensors both ways; no input or output of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aimass.client.failures import failure
from aimass.client.prediction import Prediction
from aimass.core.batch import Array, Batch
from aimass.core.errors import Bug, Invalid
from aimass.core.ids import check_name
from aimass.core.signature import NUMPY, Datatype, TensorSpec, datatype_of

LENGTH = "inference-header-content-length"
Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One request, ready to be sent."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Wish:
    """What a caller may ask beside the inputs."""

    revision: int | None = None
    outputs: Sequence[str] | None = None
    deadline_ms: int | None = None


def model_path(service: str, revision: int | None = None) -> str:
    """The service's place in the protocol: a service is a model, a revision is a version.

    ``Invalid`` for what is no name: it would be another path.
    """
    return f"/v2/models/{check_name(service, 'service')}" + (f"/versions/{revision}" if revision is not None else "")


def read_metadata(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The protocol's model metadata; anything but 200 is raised as its typed error."""
    if status != 200:
        raise failure(status, headers, body)
    data: dict[str, Any] = json.loads(body)
    return data


def read_inputs(metadata: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """The inputs that a service's metadata names."""
    return tuple(_read_spec(item) for item in metadata["inputs"])


def fit(inputs: Inputs | Array | Sequence[Any], specs: Sequence[TensorSpec]) -> Batch:
    """The caller's values as the service's inputs: a lone array is the lone input, one row gets its first dimension,
    numbers get the datatype where nothing but precision can be lost."""
    if not isinstance(inputs, Mapping):
        if len(specs) != 1:
            names = ", ".join(spec.name for spec in specs)
            raise Invalid(f"this service takes {len(specs)} inputs ({names}); pass a dict of arrays")
        inputs = {specs[0].name: inputs}
    known = {spec.name: spec for spec in specs}
    return {name: _fit_one(np.asarray(value), known.get(name)) for name, value in inputs.items()}


def encode(service: str, batch: Batch, wish: Wish) -> Call:
    """The infer request with every tensor as raw bytes behind the JSON header."""
    tensors, blobs = [], []
    for name, array in batch.items():
        datatype = datatype_of(array.dtype)
        blob = raw_bytes(array, datatype)
        blobs.append(blob)
        tensors.append(
            {
                "name": name,
                "datatype": datatype.value,
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(blob)},
            }
        )
    header: dict[str, Any] = {"inputs": tensors, "parameters": {"binary_data_output": True}}
    if wish.outputs is not None:
        header["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in wish.outputs]
    head = json.dumps(header).encode()
    headers = {"content-type": "application/octet-stream", LENGTH: str(len(head))}
    if wish.deadline_ms is not None:
        headers["x-aimass-deadline-ms"] = str(wish.deadline_ms)
    return Call(f"{model_path(service, wish.revision)}/infer", headers, b"".join([head, *blobs]))


def decode(status: int, headers: Mapping[str, str], body: bytes) -> Prediction:
    """The answer's arrays; anything but 200 is raised as its typed error."""
    if status != 200:
        raise failure(status, headers, body)
    length = int(headers.get(LENGTH, len(body)))
    data = json.loads(body[:length])
    outputs: Batch = {}
    position = length
    for item in data["outputs"]:
        size = item.get("parameters", {}).get("binary_data_size")
        if size is None:
            outputs[item["name"]] = _from_json(item)
        else:
            outputs[item["name"]] = from_raw(item, body[position : position + size])
            position += size
    return Prediction(
        outputs=outputs,
        request_id=headers.get("x-aimass-request-id", str(data.get("id", ""))),
        service=data["model_name"],
        revision=int(headers.get("x-aimass-revision", data.get("model_version") or 0)),
        plan=headers.get("x-aimass-plan", ""),
    )


def _read_spec(item: Mapping[str, Any]) -> TensorSpec:
    extra = item.get("parameters") or {}
    return TensorSpec.from_json({**{key: item[key] for key in ("name", "datatype", "shape")}, **_known(extra)})


def _known(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {key: extra[key] for key in ("picture", "allow_missing") if key in extra}


def _fit_one(array: Array, spec: TensorSpec | None) -> Array:
    if spec is None:
        return array  # the server names the unknown input, and the known ones
    wanted = NUMPY[spec.datatype]
    if array.dtype != wanted and spec.datatype != Datatype.BYTES:
        if not np.can_cast(array.dtype, wanted, "same_kind"):
            got = array.dtype.name
            raise Invalid(f"input {spec.name!r} is {got}, expected {spec.datatype}; convert it first", spec.name)
        array = array.astype(wanted)
    return array[np.newaxis] if array.ndim == len(spec.shape) - 1 else array


def raw_bytes(array: Array, datatype: Datatype) -> bytes:
    """A tensor as the protocol's binary extension sends it."""
    if datatype != Datatype.BYTES:
        return np.ascontiguousarray(array).tobytes()
    parts = []
    for value in array.ravel():
        blob = value if isinstance(value, bytes) else str(value).encode()
        parts.append(len(blob).to_bytes(4, "little") + blob)
    return b"".join(parts)


def from_raw(item: Mapping[str, Any], blob: bytes) -> Array:
    """The opposite; ``item`` has the tensor's name, datatype and shape."""
    datatype = Datatype(item["datatype"])
    if datatype != Datatype.BYTES:
        return np.frombuffer(blob, NUMPY[datatype]).reshape(item["shape"])
    values, position = [], 0
    while position < len(blob):
        size = int.from_bytes(blob[position : position + 4], "little")
        values.append(blob[position + 4 : position + 4 + size])
        position += 4 + size
    if position != len(blob):
        raise Bug(f"output {item['name']!r} came truncated")
    return _objects(values).reshape(item["shape"])


def _from_json(item: Mapping[str, Any]) -> Array:
    datatype = Datatype(item["datatype"])
    if datatype == Datatype.BYTES:
        return _objects([str(value).encode() for value in item["data"]]).reshape(item["shape"])
    values = [np.nan if value is None else value for value in item["data"]]
    return np.array(values, NUMPY[datatype]).reshape(item["shape"])


def _objects(values: list[bytes]) -> Array:
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return array
