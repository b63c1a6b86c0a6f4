"""A gateway without Ray: a small real model behind the real app, and doors to it on free ports."""

import hashlib
import resource
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
from onnx import TensorProto, helper

from aimass.core.batch import Array, Batch
from aimass.core.clock import Clock, SystemClock
from aimass.core.home import Home
from aimass.core.ids import Digest
from aimass.core.settings import Settings
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.gateway.app import GatewayApp
from aimass.gateway.door import Door
from aimass.gateway.infer import Call, Headers, Parts
from aimass.gateway.metrics import Metrics
from aimass.gateway.protocols.direct import direct_protocol
from aimass.gateway.protocols.heads import BoundedProtocol
from aimass.gateway.protocols.oip_http import HTTP
from aimass.gateway.state import GatewayState, KeyState, Limits, RevisionState, ServiceState
from aimass.graph.graph import INPUT, Source
from aimass.metering.journal import Journal
from aimass.monitoring.recorder import Recorder
from aimass.serving.batching.padding import Padding
from aimass.serving.batching.rules import Rules
from aimass.serving.engine.counts import NodeCounts
from aimass.serving.engine.flow import Flow
from aimass.serving.executor import Executor
from aimass.serving.layout import Layout, LayoutNode
from aimass.serving.loader import LoadedPlan, load
from aimass.serving.remote import Remotes

SECRET = "aim_good"
BEARER = {"authorization": f"Bearer {SECRET}"}
INFER = "/v2/models/iris/infer"
WEIGHTS = np.array([[1, 0, -1], [0, 2, 0], [0.5, 0, 1], [-1, 1, 3]], dtype=np.float32)
SIGNATURE = Signature(
    (TensorSpec("x", Datatype.FP32, (-1, 4)),),
    (TensorSpec("label", Datatype.INT64, (-1,)), TensorSpec("scores", Datatype.FP32, (-1, 3))),
)
ROWS = [[1.0, 2.0, 3.0, 4.0], [0.5, -1.0, 0.25, 2.0]]


def scores(rows: Any) -> Array:
    """What the model computes, by numpy."""
    return cast(Array, np.asarray(rows, dtype=np.float32) @ WEIGHTS)


def body(rows: Any = None, **more: Any) -> dict[str, Any]:
    """A good request."""
    rows = ROWS if rows is None else rows
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(rows), 4], "data": data}], **more}


def _model() -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 3]),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    weights = helper.make_tensor("w", TensorProto.FLOAT, WEIGHTS.shape, WEIGHTS.tobytes(), raw=True)
    graph = helper.make_graph(nodes, "iris", [x], outputs, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return cast(bytes, model.SerializeToString())


def layout(plan: str = "merged") -> Layout:
    """One node whose names are the service's."""
    node = LayoutNode(
        name="iris",
        inputs=(("x", Source(INPUT, "x")),),
        signature=SIGNATURE,
        runtime="onnx",
        files={"model.onnx": Digest("0" * 64)},
    )
    sources = (Source("iris", "label"), Source("iris", "scores"))
    return Layout(plan, (node,), SIGNATURE.inputs, SIGNATURE.outputs, sources)


def real_plan(folder: Path) -> LoadedPlan:
    """The model as a replica loads it."""
    (folder / "model.onnx").write_bytes(_model())
    return load(layout(), lambda files: folder)


@dataclass(eq=False)
class StubPlan:
    """A plan that runs whatever a test says, in a thread where ``inline_rows`` is 0."""

    call: Callable[[Batch], Batch]
    signature: Signature = SIGNATURE
    inline_rows: int = 0
    plan: str = "fused"
    flow: Flow | None = None
    padding: Padding | None = None
    file_bytes: int = 0
    counts: NodeCounts = field(default_factory=NodeCounts)

    def run(self, batch: Batch, trace: Any = None) -> Batch:
        return self.call(batch)

    def warm_us(self, rows: int) -> float:
        return 1000.0

    @property
    def loaded(self) -> LoadedPlan:
        return cast(LoadedPlan, self)


def key(name: str = "key-1", secret: str = SECRET, **more: Any) -> KeyState:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return KeyState(name, "default", digest, more.pop("scopes", ("predict", "read")), **more)


def heard(request_id: str, headers: Headers | None = None) -> Call:
    """A call of which no more is known yet."""
    return Call(0.0, headers or {}, request_id, HTTP)


def service(
    name: str = "iris", weights: Mapping[int, float] | None = None, revisions: tuple[int, ...] = (1,), **limits: Any
) -> ServiceState:
    numbered = tuple(RevisionState(number, f"d{number}", layout().to_json()) for number in revisions)
    return ServiceState(name, "default", Limits(**limits), {1: 100.0} if weights is None else weights, numbered)


@dataclass
class Gateway:
    """The app with all its parts in the open."""

    folder: Path
    clock: Clock = field(default_factory=SystemClock)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = Settings(home=Home(self.folder), **self.options)
        self.journal = Journal(settings.home.journal, "replica")
        self.recorder = Recorder(settings.home.logs, "replica", settings.request_log_per_s, self.clock)
        self.metrics = Metrics()
        self.executor = Executor(2, self.clock)
        parts = Parts(self.clock, self.journal, self.recorder, self.metrics, self.executor)
        self.app = GatewayApp(settings, parts, "replica")
        self.number = 0

    def serve(self, plan: LoadedPlan, *keys: KeyState, **limits: Any) -> None:
        """One service of one revision, for one good key unless told otherwise."""
        self.number += 1
        state = GatewayState(self.number, keys or (key(),), (service(**limits),))
        self.app.apply(state, {("iris", 1): plan})

    def events(self) -> list[bytes]:
        """The journal's lines."""
        return self._journal_file.read_bytes().splitlines()

    def journal_bytes(self) -> int:
        """The size of the journal's newest file."""
        return self._journal_file.stat().st_size

    @property
    def _journal_file(self) -> Path:
        return self.folder / "journal" / f"{self.journal.name}.jsonl"


@asynccontextmanager
async def open_door(app: GatewayApp, way: str = "direct", **options: Any) -> AsyncIterator[Door]:
    """The app on a free port, by the short way or by plain ASGI."""
    protocol: Any = direct_protocol(app) if way == "direct" else BoundedProtocol
    door = Door(app, "127.0.0.1", 0, options.get("tls"), protocol)
    app.closes = lambda: door.closing
    await door.open()
    try:
        yield door
    finally:
        await door.close(closing_s=0)


@asynccontextmanager
async def connect(app: GatewayApp, way: str = "memory") -> AsyncIterator[httpx.AsyncClient]:
    """A client with a good key: in memory, or over a real socket by either way."""
    plain = {"accept-encoding": "identity", **BEARER}
    if way == "memory":
        transport = httpx.ASGITransport(app=app, client=("10.1.1.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=plain) as client:
            yield client
        return
    async with open_door(app, way) as door:
        address = f"http://127.0.0.1:{door.port}"
        async with httpx.AsyncClient(base_url=address, headers=plain, trust_env=False) as client:
            yield client


async def metrics_of(app: GatewayApp) -> str:
    """``/metrics`` as it is on loopback, without a key."""
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return (await client.get("/metrics")).text


@contextmanager
def full_after(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond this size: a real write stops there, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts one certificate."""
    return ssl.create_default_context(cafile=str(certificate))


async def nowhere(_name: str, _revision: int, _layout: Layout, _rules: Rules) -> Remotes:
    """For a ``Loading`` whose layouts have no nodes elsewhere."""
    raise AssertionError("nothing here runs elsewhere")
