"""How calls to ModelInfer are read and answered: raw tensors by preference, typed ones where the caller sends such."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.errors import AimassError, Invalid
from aimass.core.signature import NUMPY, Datatype
from aimass.gateway.grpc.messages import ModelInferResponse
from aimass.gateway.grpc.statuses import Trailers, trailers_of
from aimass.gateway.infer import Call, Job
from aimass.gateway.protocols.oip import InferRequest, RequestReader, Wanted, check_id, check_priority
from aimass.gateway.protocols.tensors import TensorReader
from aimass.gateway.routes import Target

PROTOCOL = "grpc"
REMEMBERED = 64  # heads of answers per revision
CONTENTS = {
    Datatype.BOOL: "bool_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}
"""The field of typed contents; FP16 has none."""


@dataclass(slots=True)
class Asked:
    """One ModelInferRequest, and the seconds that gRPC still allows it (none: for ever)."""

    message: Any
    allowed_s: float | None = None


@dataclass(slots=True)
class Answered:
    """A ModelInferResponse on its way."""

    body: bytes
    trailers: Trailers


@dataclass(slots=True)
class Refused:
    """An error on its way."""

    error: AimassError
    trailers: Trailers


class OipOverGrpc:
    """The codec of the gRPC door."""

    protocol = PROTOCOL
    turns = 2

    @staticmethod
    def read(call: Call, target: Target, body: Asked, max_bytes: int) -> InferRequest:
        message = body.message
        call.allowed_s = _shorter(body.allowed_s, call.headers.get(b"x-aimass-deadline-ms"))
        raws = message.raw_input_contents
        if raws and len(raws) != len(message.inputs):
            raise Invalid(
                f"{len(raws)} raw_input_contents for {len(message.inputs)} inputs; send one each, or none",
                field="raw_input_contents",
            )
        reader = target.reader
        batch: Batch = {}
        for index, tensor in enumerate(message.inputs):
            name = tensor.name
            if name in batch:
                raise Invalid(f"input {name!r} is given twice", field=name)
            if raws and tensor.HasField("contents"):
                raise Invalid(f"input {name!r} has typed and raw contents; send one of them", field=name)
            read = reader.find(name, tensor.datatype)
            shape = list(tensor.shape)
            if raws:
                batch[name] = read.read_bytes(memoryview(raws[index]), shape)
            else:
                batch[name] = _read_typed(read, tensor, shape)
        rows = reader.check(batch)
        if message.parameters and "priority" in message.parameters:
            check_priority(_whole(message, "priority"))
        wanted = _wanted(reader, message, bool(raws))
        return InferRequest(batch, rows, wanted, check_id(message.id), _timeout(message), _parameters(message))

    @staticmethod
    def write(job: Job) -> tuple[Answered, int]:
        target, request = job.target, job.request
        writer = target.kept.get(PROTOCOL)
        if writer is None:
            writer = target.kept[PROTOCOL] = AnswerWriter(target)
        body = writer.write(job.outputs, request.wanted, request.id)
        trailers = (("x-aimass-request-id", job.call.request_id), *writer.trailers)
        if job.degraded:
            trailers = (*trailers, ("x-aimass-degraded", job.degraded))
        return Answered(body, trailers), len(body)

    @staticmethod
    def refuse(error: AimassError, request_id: str, revision: int) -> tuple[Refused, int]:
        return Refused(error, trailers_of(error, request_id, revision)), len(str(error))


GRPC = OipOverGrpc()


class AnswerWriter:
    """Writes the answers of one revision. A message is the concatenation of its parts: what all answers of a shape
    share is encoded once."""

    def __init__(self, target: Target) -> None:
        self._model = {"model_name": target.service, "model_version": str(target.revision)}
        self._heads: dict[tuple[Any, ...], bytes] = {}
        self.trailers: Trailers = (
            ("x-aimass-revision", str(target.revision)),
            ("x-aimass-plan", target.plan.plan),
        )

    def write(self, outputs: Batch, wanted: Wanted, own_id: str) -> bytes:
        """A serialised ModelInferResponse."""
        arrays = [outputs[writer.name] for writer, _ in wanted]
        if not all(raw for _, raw in wanted):
            return self._typed(arrays, wanted, own_id)
        shapes = (wanted, *(array.shape for array in arrays))
        head = self._heads.get(shapes)
        if head is None:
            head = self._head(arrays, wanted)
            if len(self._heads) >= REMEMBERED:
                self._heads.clear()
            self._heads[shapes] = head
        raws = [writer.binary(array)[1] for (writer, _), array in zip(wanted, arrays, strict=True)]
        rest: bytes = ModelInferResponse(id=own_id, raw_output_contents=raws).SerializeToString()
        return head + rest

    def _head(self, arrays: list[Array], wanted: Wanted) -> bytes:
        outputs = [_describe(writer.spec, array) for (writer, _), array in zip(wanted, arrays, strict=True)]
        head: bytes = ModelInferResponse(**self._model, outputs=outputs).SerializeToString()
        return head

    def _typed(self, arrays: list[Array], wanted: Wanted, own_id: str) -> bytes:
        outputs = []
        for (writer, _), array in zip(wanted, arrays, strict=True):
            flat = array.ravel()
            values = [str(item).encode() if isinstance(item, str) else item for item in flat.tolist()]
            described = _describe(writer.spec, array)
            outputs.append({**described, "contents": {CONTENTS[writer.spec.datatype]: values}})
        body: bytes = ModelInferResponse(**self._model, id=own_id, outputs=outputs).SerializeToString()
        return body


def _describe(spec: Any, array: Array) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": array.shape}


def _wanted(reader: RequestReader, message: Any, raw: bool) -> Wanted:
    names = []
    for output in message.outputs:
        _refuse_shared_memory(output)
        if output.parameters and "classification" in output.parameters:
            raise Invalid("the classification extension is not offered; ask for the tensors", field="outputs")
        names.append(output.name)
    wanted = reader.wanted(names, raw)
    if not raw and any(writer.spec.datatype not in CONTENTS for writer, _ in wanted):
        return reader.wanted(names, binary=True)
    return wanted


def _read_typed(read: TensorReader, tensor: Any, shape: list[int]) -> Array:
    _refuse_shared_memory(tensor)
    datatype = read.spec.datatype
    field = CONTENTS.get(datatype)
    if field is None:
        raise Invalid(f"input {read.name!r} is {datatype}, which travels in raw_input_contents only", field=read.name)
    filled = [item.name for item, _ in tensor.contents.ListFields()]
    if filled not in ([], [field]):
        raise Invalid(
            f"input {read.name!r} is {datatype}, so its data goes into {field}, not {filled}", field=read.name
        )
    values = list(getattr(tensor.contents, field))
    if datatype in (Datatype.FP32, Datatype.FP64):
        size = read.read_shape(shape)
        if len(values) != size:
            raise Invalid(
                f"input {read.name!r} has {len(values)} elements, shape {shape} needs {size}", field=read.name
            )
        return read.read_bytes(memoryview(np.array(values, NUMPY[datatype]).tobytes()), shape)
    if datatype is Datatype.BYTES:
        try:
            values = [value.decode() for value in values]
        except UnicodeDecodeError as error:
            raise Invalid(f"input {read.name!r}: BYTES must be UTF-8 text: {error}", field=read.name) from None
    return read.read_json(values, shape)


def _refuse_shared_memory(tensor: Any) -> None:
    if tensor.parameters and "shared_memory_region" in tensor.parameters:
        raise Invalid(f"tensor {tensor.name!r}: shared memory is not offered; send the data", field=tensor.name)


def _parameters(message: Any) -> Mapping[str, Any] | None:
    if not message.parameters:
        return None
    return {
        name: getattr(given, given.WhichOneof("parameter_choice") or "", None)
        for name, given in message.parameters.items()
    }


def _timeout(message: Any) -> int:
    if not message.parameters or "timeout" not in message.parameters:
        return 0
    value = _whole(message, "timeout")
    if value < 0:
        raise Invalid("parameters.timeout must be a whole number of microseconds", field="parameters.timeout")
    return value


def _whole(message: Any, name: str) -> int:
    """-1 for what is no whole number."""
    given = message.parameters[name]
    kind = given.WhichOneof("parameter_choice")
    return int(getattr(given, kind)) if kind in ("int64_param", "uint64_param") else -1


def _shorter(allowed_s: float | None, deadline_ms: bytes | None) -> float | None:
    if deadline_ms is None:
        return allowed_s
    if not deadline_ms.isdigit() or len(deadline_ms) > 18:
        text = deadline_ms.decode("latin-1")
        raise Invalid(f"metadata x-aimass-deadline-ms must be a whole number, not {text!r}", "x-aimass-deadline-ms")
    named = int(deadline_ms) / 1e3
    return named if allowed_s is None else min(allowed_s, named)
