"""A workload's rows as a file that h2load sends: raw tensors to a gRPC door, JSON to the HTTP door beside it."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimass.gateway.grpc.messages import SERVICE, ModelInferRequest, ModelInferResponse
from benchmarks.h2load import Run, drive
from benchmarks.peers.by_hand import Scorer
from benchmarks.peers.lineup import TOLERANCE
from benchmarks.peers.server import PeerError
from benchmarks.workloads import INPUT, Array, Workload, make_bodies

FRAME = struct.Struct(">BI")  # gRPC's: compressed or not, length


@dataclass(frozen=True)
class Request:
    """One body for one door. ``answer_bytes``: of a good answer, where h2load sees no other sign of one."""

    door: str
    url: str
    body: Path
    headers: dict[str, str]
    answer_bytes: int = 0

    def drive(self, connections: int, seconds: float) -> Run:
        """``PeerError`` when answers were missing: an error by gRPC is a 200 without a body."""
        found = drive(self.url, self.body, self.headers, connections, seconds, http1=self.door == "http")
        if found.data_bytes < found.requests * self.answer_bytes:
            raise PeerError(f"{self.door}: not every call of {found.requests} was answered with a tensor")
        return found


def first_rows(workload: Workload, models: Path) -> Array:
    """Those of the workload's first body."""
    return make_bodies(workload, np.load(models / "rows.npy"), count=1)[0].rows


def grpc_request(address: str, headers: dict[str, str], workload: Workload, models: Path, folder: Path) -> Request:
    """The file, written; ``PeerError`` unless the door answers what the model gives by hand."""
    rows = first_rows(workload, models)
    message = ModelInferRequest(model_name=workload.service, raw_input_contents=[rows.astype("<f4").tobytes()])
    message.inputs.add(name=INPUT, datatype="FP32", shape=rows.shape)
    content = message.SerializeToString()
    answer = _ask(address, headers, content)
    _check(answer, Scorer(models).score(workload.service, rows))
    body = folder / f"{workload.service}-{workload.rows}.grpc"
    body.write_bytes(FRAME.pack(0, len(content)) + content)
    lines = {**headers, "te": "trailers", "content-type": "application/grpc"}
    return Request("grpc", f"http://{address}/{SERVICE}/ModelInfer", body, lines, len(answer) + FRAME.size)


def _ask(address: str, headers: dict[str, str], content: bytes) -> bytes:
    import grpc

    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        answer: bytes = call(content, metadata=tuple(headers.items()), timeout=30, wait_for_ready=True)
    return answer


def _check(raw: bytes, expected: Array) -> None:
    answer = ModelInferResponse.FromString(raw)
    output = answer.outputs[0]
    contents = answer.raw_output_contents
    flat = np.frombuffer(contents[0], "<f4") if contents else np.array(output.contents.fp32_contents, np.float32)
    if not np.allclose(flat.reshape(output.shape), expected, rtol=0, atol=TOLERANCE):
        raise PeerError("gRPC: the answer is not what the same model gives by hand")
