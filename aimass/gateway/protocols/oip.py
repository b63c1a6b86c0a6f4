"""The Open Inference Protocol, version 2: a request body into a batch, and outputs into an answer body."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import simdjson

from aimass.core.batch import Batch
from aimass.core.errors import Invalid, TooLarge
from aimass.core.signature import Signature, TensorSpec
from aimass.gateway.protocols.tensors import TensorReader, TensorWriter

Wanted = tuple[tuple[TensorWriter, bool], ...]  # outputs to answer with, and whether each leaves as raw bytes

MAX_ID = 1024  # characters of the caller's own id; it goes into every record of the call
MOST_PRIORITY = 1000
SMALL_BYTES = 4096  # up to here orjson is as fast as simdjson, and touches half as much code

_PARSER: Any = simdjson.Parser()  # of the one event loop; its documents never outlive a call of `_read_fast`


@dataclass(slots=True)
class InferRequest:
    """What a call asks for."""

    batch: Batch
    rows: int
    wanted: Wanted
    id: str = ""
    timeout_us: int = 0  # 0: none given
    parameters: Mapping[str, Any] | None = None


class RequestReader:
    """Reads the requests of one service, whose inputs it knows."""

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self._readers = tuple(TensorReader(spec) for spec in signature.inputs)
        self._by_name = {reader.name: reader for reader in self._readers}
        self._writers = {spec.name: TensorWriter(spec) for spec in signature.outputs}
        self._all: Wanted = tuple((writer, False) for writer in self._writers.values())
        self._all_binary: Wanted = tuple((writer, True) for writer in self._writers.values())
        self._names = [(reader.name, reader.spec.datatype.value) for reader in self._readers]
        self._can_be_fast = all(reader.fast for reader in self._readers)
        self._brackets = 1 + 2 * len(self._readers)
        self._max_rows = max_rows

    def read(self, body: bytes) -> InferRequest:
        """A JSON body."""
        if self._can_be_fast:
            try:
                request = self._read_small(body) if len(body) <= SMALL_BYTES else self._read_fast(body)
            except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error):
                request = None  # whatever is wrong, or only unusual, the strict reading says it
            if request is not None:
                return request
        return self._read_strictly(_load(body), memoryview(b""))

    def read_binary(self, body: bytes, header_bytes: int) -> InferRequest:
        """A JSON header of ``header_bytes``, then the raw tensors in the order of the inputs."""
        if not 0 < header_bytes <= len(body):
            raise Invalid(
                f"inference-header-content-length is {header_bytes}, the body has {len(body)} bytes",
                field="inference-header-content-length",
            )
        return self._read_strictly(_load(body[:header_bytes]), memoryview(body)[header_bytes:])

    def _read_small(self, body: bytes) -> InferRequest | None:
        if b"true" in body or b"false" in body:
            return None
        document = orjson.loads(body)
        inputs = document["inputs"]
        if len(inputs) != len(self._readers):
            return None
        batch: Batch = {}
        rows = 0
        for reader, item, known in zip(self._readers, inputs, self._names, strict=True):
            shape = item["shape"]
            if (item["name"], item["datatype"]) != known or len(item) != 4 or (rows and shape[0] != rows):
                return None
            array = reader.read_small(item["data"], shape)
            if array is None:
                return None
            rows = shape[0]
            batch[reader.name] = array
        self._check_rows(rows)
        return InferRequest(batch, rows, self._all) if len(document) == 1 else self._with_rest(batch, rows, document)

    def _read_fast(self, body: bytes) -> InferRequest | None:
        document = _PARSER.parse(body)
        # Asking simdjson for a key that is missing costs a C++ exception, 20 µs: only what is there is asked for.
        rest = {} if len(document) == 1 else {key: _plain(document[key]) for key in document if key != "inputs"}
        inputs = document["inputs"]
        if len(inputs) != len(self._readers) or not self._is_flat(body, "outputs" in rest):
            return None
        batch: Batch = {}
        rows = 0
        for index, reader in enumerate(self._readers):
            item = inputs[index]
            if (item["name"], item["datatype"]) != self._names[index] or len(item) != 4:
                return None
            shape = item["shape"].as_list()
            array = reader.read_fast(item["data"], shape)
            if array is None or (rows and shape[0] != rows):
                return None
            rows = shape[0]
            batch[reader.name] = array
        self._check_rows(rows)
        return self._with_rest(batch, rows, rest) if rest else InferRequest(batch, rows, self._all)

    def _is_flat(self, body: bytes, has_outputs: bool) -> bool:
        """No list stands inside a list of numbers: simdjson would flatten it without a word."""
        at, left = -1, self._brackets + has_outputs
        while left:
            at = body.find(b"[", at + 1)
            if at < 0:
                return False
            left -= 1
        return body.find(b"[", at + 1) < 0

    def _read_strictly(self, document: Any, raw: memoryview) -> InferRequest:
        inputs = document.get("inputs") if isinstance(document, dict) else None
        if not isinstance(inputs, list):
            raise Invalid('the body must be an object with a list "inputs"', field="inputs")
        batch: Batch = {}
        at = 0
        for item in inputs:
            reader = self._reader(item)
            if reader.name in batch:
                raise Invalid(f"input {reader.name!r} is given twice", field=reader.name)
            size = _binary_size(item, reader.name)
            if size is None:
                array = reader.read_json(item.get("data"), item.get("shape"))
            else:
                if at + size > len(raw):
                    raise Invalid(
                        f"input {reader.name!r}: binary_data_size is {size}, {len(raw) - at} bytes are left",
                        field=reader.name,
                    )
                array = reader.read_bytes(raw[at : at + size], item.get("shape"))
                at += size
            batch[reader.name] = array
        if at != len(raw):
            raise Invalid(f"the body has {len(raw) - at} bytes after its tensors", field="inputs")
        return self._with_rest(batch, self.check(batch), document)

    def find(self, name: str, datatype: Any) -> TensorReader:
        """What reads the input of that name; ``Invalid`` when there is none, or it is of another datatype."""
        reader = self._by_name.get(name)
        if reader is None:
            raise Invalid(f"unknown input {name!r}; this service takes: {', '.join(self._by_name)}", field=name)
        if datatype != reader.spec.datatype.value:
            raise Invalid(f"input {name!r} has datatype {datatype}, expected {reader.spec.datatype}", field=name)
        return reader

    def check(self, batch: Batch) -> int:
        """Rows of a batch whose tensors were read one by one: none is missing, and all have the same rows."""
        rows, first = 0, ""
        for name, array in batch.items():
            if first and array.shape[0] != rows:
                raise Invalid(f"input {name!r} has {array.shape[0]} rows, {first!r} has {rows}", field=name)
            rows, first = int(array.shape[0]), first or name
        for name in self._by_name:
            if name not in batch:
                raise Invalid(f"input {name!r} is missing; this service takes: {', '.join(self._by_name)}", field=name)
        self._check_rows(rows)
        return rows

    def wanted(self, names: Sequence[str], binary: bool) -> Wanted:
        """The outputs of these names, in their order; of no names, all."""
        if not names:
            return self._all_binary if binary else self._all
        chosen = {writer.name: (writer, binary) for writer in map(self._writer, names)}
        return tuple(chosen.values())

    def _writer(self, name: Any) -> TensorWriter:
        writer = self._writers.get(name) if isinstance(name, str) else None
        if writer is None:
            raise Invalid(f"unknown output {name!r}; this service has: {', '.join(self._writers)}", field="outputs")
        return writer

    def _reader(self, item: Any) -> TensorReader:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            raise Invalid("each input must be an object with name, datatype, shape and data", field="inputs")
        return self.find(name, item.get("datatype"))

    def _check_rows(self, rows: int) -> None:
        if rows > self._max_rows:
            raise TooLarge(f"{rows} rows in one request; this service takes at most {self._max_rows}", field="inputs")

    def _with_rest(self, batch: Batch, rows: int, document: Mapping[str, Any]) -> InferRequest:
        own_id = document.get("id", "")
        if not isinstance(own_id, str):
            raise Invalid("id must be a string", field="id")
        check_id(own_id)
        parameters = _parameters(document, "parameters")
        timeout = parameters.get("timeout", 0)
        if type(timeout) is not int or timeout < 0:
            raise Invalid("parameters.timeout must be a whole number of microseconds", field="parameters.timeout")
        if "priority" in parameters:
            check_priority(parameters["priority"])
        binary = parameters.get("binary_data_output", False)
        wanted = self._wanted(document.get("outputs"), binary is True)
        return InferRequest(batch, rows, wanted, own_id, timeout, parameters)

    def _wanted(self, outputs: Any, binary: bool) -> Wanted:
        if outputs is None:
            return self._all_binary if binary else self._all
        if not isinstance(outputs, list) or not outputs:
            raise Invalid("outputs must be a list of objects with a name, or be left out", field="outputs")
        wanted: dict[str, tuple[TensorWriter, bool]] = {}
        for item in outputs:
            writer = self._writer(item.get("name") if isinstance(item, dict) else None)
            parameters = _parameters(item, f"outputs.{writer.name}.parameters")
            if parameters.get("classification"):
                raise Invalid("the classification extension is not offered; ask for the tensors", field="outputs")
            wanted[writer.name] = (writer, parameters.get("binary_data", binary) is True)
        return tuple(wanted.values())


class AnswerWriter:
    """Writes the answers of one revision."""

    def __init__(self, service: str, revision: int) -> None:
        self._head = b'{"model_name":"%b","model_version":"%d",' % (service.encode(), revision)

    def write(self, outputs: Batch, wanted: Wanted, own_id: str) -> tuple[bytes, int]:
        """The body, and the length of its JSON header where raw tensors follow (else 0)."""
        parts = []
        raws = []
        for writer, binary in wanted:
            if binary:
                part, raw = writer.binary(outputs[writer.name])
                raws.append(raw)
            else:
                part = writer.json(outputs[writer.name])
            parts.append(part)
        head = self._head + b'"id":' + orjson.dumps(own_id) + b"," if own_id else self._head
        body = b'%b"outputs":[%b]}' % (head, b",".join(parts))
        if raws:
            return b"".join((body, *raws)), len(body)
        return body, 0


def check_id(own_id: str) -> str:
    """The caller's own id, if it is not too long."""
    if len(own_id) > MAX_ID:
        raise Invalid(f"id has {len(own_id)} characters; it may have {MAX_ID}", field="id")
    return own_id


def describe(name: str, versions: list[int], plan: str, signature: Signature) -> dict[str, Any]:
    """A model's metadata."""
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": f"aimass_{plan}",
        "inputs": [_describe_tensor(spec) for spec in signature.inputs],
        "outputs": [_describe_tensor(spec) for spec in signature.outputs],
    }


def _describe_tensor(spec: TensorSpec) -> dict[str, Any]:
    described = spec.to_json()
    standard = {key: described.pop(key) for key in ("name", "datatype", "shape")}
    return {**standard, "parameters": described} if described else standard


def _load(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}", field="body") from None


def _plain(value: Any) -> Any:
    if isinstance(value, simdjson.Object):
        return value.as_dict()
    return value.as_list() if isinstance(value, simdjson.Array) else value


def check_priority(priority: Any) -> None:
    """The protocol's clients may send one; nobody is served before others for it."""
    if type(priority) is not int or not 0 <= priority <= MOST_PRIORITY:
        raise Invalid(
            f"parameters.priority must be a whole number from 0 to {MOST_PRIORITY}; here all calls are alike",
            field="parameters.priority",
        )


def _parameters(holder: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Invalid(f"{field} must be an object", field=field)
    return parameters


def _binary_size(item: Mapping[str, Any], name: str) -> int | None:
    size = _parameters(item, f"{name}.parameters").get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise Invalid(f"input {name!r}: binary_data_size must be a whole number", field=name)
    if "data" in item:
        raise Invalid(f"input {name!r} has both data and binary_data_size; send one", field=name)
    return size
