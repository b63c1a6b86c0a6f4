"""Which calls become spans: as OpenTelemetry's own sampler and reader of headers decide."""

import logging
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aimass.gateway.telemetry.sampling import Sampler
from aimass.gateway.telemetry.traceparent import read_traceparent
from aimass.serving.loader import LoadedPlan
from aimass.testing.gateway import INFER, Gateway, body, connect
from tests.gateway.telemetry.collector import Collector, check_tree, said
from tests.gateway.telemetry.spans_kit import CALLER, TRACE, sending

ANY_HEADER = st.one_of(
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,3})?", fullmatch=True),
    st.from_regex(r"(00|ff|cc)-0{31}[01]-0{15}[01]-0[0123]", fullmatch=True),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=60),
)

MEMBER = st.from_regex(r"[a-c][_0-9a-z*/-]{0,3}(@[a-z])?=[ -~\x80-\xff]{0,4}[!-~]", fullmatch=True)
ANY_STATE = st.one_of(
    st.lists(MEMBER | st.sampled_from(["", " ", "\t", "a=1 ", "A=1", "0=", "0@a=1", "b==", "a"]), max_size=34).map(
        ",".join
    ),
    st.integers(30, 34).map(lambda count: ",".join(f"k{index}=v" for index in range(count))),
    st.integers(250, 258).map(lambda count: "k" * count + "=v"),
    st.integers(250, 258).map(lambda count: "k=" + "v" * count),
    st.text(st.characters(codec="latin-1"), max_size=60),
)


@given(ANY_HEADER)
def test_the_header_is_read_as_opentelemetry_reads_it(value: str) -> None:
    theirs = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": value})).get_span_context()
    ours = read_traceparent(value.encode())
    assert (ours is not None) == theirs.is_valid
    if ours is not None:
        assert (ours.trace_id, ours.span_id, ours.is_sampled) == (
            theirs.trace_id,
            theirs.span_id,
            theirs.trace_flags.sampled,
        )


@given(ANY_STATE)
def test_a_state_goes_on_as_opentelemetry_reads_it_where_it_can(value: str) -> None:
    parent = read_traceparent(f"00-{TRACE}-{CALLER}-01".encode())
    assert parent is not None
    said = parent.within(value.encode("latin-1")).state
    logger = logging.getLogger("opentelemetry.trace.span")
    logger.disabled = True
    try:
        theirs = TraceState.from_header([value])
    finally:
        logger.disabled = False
    is_whole = len(value) <= 512
    assert dict(TraceState.from_header([said])) == (dict(theirs) if is_whole else {})
    assert said in (value, ""), "nothing of it is made by us"


STRANGER = {"authorization": "Bearer aim_wrong"}


@pytest.mark.parametrize(
    "state", ["no such thing", "A=1", "a=1,a=2", "a=" + "b" * 600, ",".join(f"k{n}=1" for n in range(33))]
)
async def test_nobody_writes_into_the_replicas_log_by_a_state(
    gateway: Gateway, plan: LoadedPlan, collector: Collector, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": state}
    with caplog.at_level(logging.WARNING), sending(gateway, collector):
        gateway.serve(plan)
        async with connect(gateway.app) as client:
            for more in ({}, STRANGER):
                await client.post(INFER, json=body(), headers={**headers, **more})
    assert {span.trace_state for span in collector.spans()} == {""}
    assert len(collector.spans()) == 5 + 1, "an answer and a refusal"
    assert caplog.records == []


class _Sure(Random):
    """Its bits are these, whatever it is asked for."""

    bits = 0

    def getrandbits(self, count: int) -> int:
        return self.bits


@given(st.floats(0, 1), st.integers(0, 2**63 - 1), st.none() | ANY_HEADER)
def test_the_decision_is_that_of_parentbased_traceidratio(share: float, bits: int, value: str | None) -> None:
    headers = {} if value is None else {b"traceparent": value.encode()}
    random = _Sure()
    random.bits = bits
    ours = Sampler(share, random).find(headers)
    carrier = {} if value is None else {"traceparent": value}
    context = TraceContextTextMapPropagator().extract(carrier)
    above = trace.get_current_span(context).get_span_context()
    trace_id = above.trace_id if above.is_valid else (bits + 1) * 2**64 + bits
    theirs = ParentBased(TraceIdRatioBased(share)).should_sample(context, trace_id, "call")
    assert (ours is not None) == (theirs.decision is Decision.RECORD_AND_SAMPLE)
    if ours is not None:
        assert (ours.trace_id, ours.span_id) == (trace_id, above.span_id if above.is_valid else 0)


def test_of_calls_without_a_caller_the_share_is_sent() -> None:
    sampler = Sampler(0.1, Random(7))
    begun = [parent for _ in range(20_000) if (parent := sampler.find({})) is not None]
    sent = len(begun)
    assert len({parent.trace_id for parent in begun}) == sent
    assert abs(sent - 2000) < 3.3 * (20_000 * 0.1 * 0.9) ** 0.5  # the 99.9 % bound of a binomial


async def test_a_call_without_a_caller_begins_a_trace(gateway: Gateway, plan: LoadedPlan, collector: Collector) -> None:
    with sending(gateway, collector, sample=1.0):
        gateway.serve(plan)
        async with connect(gateway.app) as client:
            answers = [await client.post(INFER, json=body()) for _ in range(2)]
            await client.post(INFER, json=body(), headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    spans = collector.spans()
    assert len(spans) == 2 * 5, "whose caller does not keep the trace sends nothing"
    for begun, answer in zip((spans[:5], spans[5:]), answers, strict=True):
        root = check_tree(begun)
        assert root.parent_span_id == b"" and root.kind == Span.SPAN_KIND_SERVER and any(root.trace_id)
        assert {span.trace_id for span in begun} == {root.trace_id}
        assert said(root)["aimass.request_id"] == answer.headers["x-aimass-request-id"]
    assert spans[0].trace_id != spans[5].trace_id
