"""Sends on the flat path give the headers, spans and metrics that the general code gives."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, get_current, set_value
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tests.tracing.messaging.flat.send_world import (
    MOMENT,
    SAMPLED,
    SAMPLERS,
    UNSAMPLED,
    Case,
    SendWorld,
    below,
    remote,
    sends,
    span_of_the_application,
)
from tracing import Boundary, TracedProducer, cloudevent
from tracing.core.otel_context import SPAN_KEY, SUPPRESSED
from tracing.headers.dead_letter import REPLAY_GROUP, REPLAY_ID
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.flat.engine import Reason, engine_of
from tracing.messaging.flat.send import FlatSending
from tracing.testing import eventually


async def _refused(producer: TracedProducer) -> None:
    with pytest.raises(TypeError):
        await producer.send_and_wait("orders", b"v", headers=[("mine", "no bytes")])  # type: ignore[list-item]  # wrong on purpose
    with pytest.raises(TypeError):
        await producer.send("orders", b"v", headers=[("mine", "no bytes")])  # type: ignore[list-item]  # as above


async def _in_a_transaction_of_the_sdk(producer: TracedProducer) -> None:
    provider = trace.NoOpTracerProvider()
    with provider.get_tracer("application").start_as_current_span("GET /"):
        await sends()(producer)


async def _sets_of_names_in_turns(producer: TracedProducer) -> None:
    for headers in (
        cloudevent(type="OrderPlaced", subject="order-7"),
        cloudevent(type="OrderPaid", subject="order-8"),
        [("ce_subject", b"order-9"), ("ce_type", b"OrderPaid")],
        [("ce_subject", b"order-10"), ("ce_id", b"e-1")],
        [("ce_type", b"OrderPlaced"), ("ce_type", b"OrderPaid")],
        [(REPLAY_GROUP, b"shipping"), ("ce_type", b"OrderPlaced")],
        [(REPLAY_GROUP, b"shipping"), ("ce_type", b"OrderPlaced")],
        cloudevent(type="OrderPlaced", subject="order-7"),
    ):
        await sends(headers)(producer)


FLOW = {"pipeline.name": "orders", "pipeline.origin": f"{int(MOMENT.timestamp() * 1000)}"}
MANY = {f"name-{number}": f"a value, é {number}" for number in range(8)}

CASES: dict[str, Case] = {
    "nothing": sends(),
    "empty headers": sends([]),
    "headers of the application": sends([("mine", b"1"), ("yours", None), ("mine", b"2")]),
    "pairs that are lists": sends([["mine", b"1"]]),
    "type and subject": sends(cloudevent(type="OrderPlaced", subject="order-7")),
    "a whole event": sends(
        cloudevent(type="OrderPlaced", id="e-1", source="/elsewhere", subject="é", time=MOMENT)
    ),
    "an event from long ago": sends([("ce_time", b"2001-01-01T00:00:00Z")]),
    "an event from the future": sends([("ce_time", b"2099-01-01T00:00:00Z")]),
    "an id that is no text": sends([("ce_id", b"\xff"), ("ce_subject", b"\xff" * 2000)]),
    "ids of other types": sends([("ce_id", None), ("ce_subject", None)]),
    "a partition": sends(partition=0),
    "a timestamp": sends(timestamp_ms=1_700_000_000_000),
    "a tombstone": sends(value=None),
    "a refused record": _refused,
    "below a record that is sampled": below(lambda: remote(SAMPLED)),
    "below a record that is not": below(lambda: remote(UNSAMPLED)),
    "in the own flow": below(lambda: remote(SAMPLED, FLOW)),
    "in the own flow, not sampled": below(lambda: remote(UNSAMPLED, FLOW)),
    "in a foreign flow": below(
        lambda: remote(SAMPLED, {**FLOW, "pipeline.name": "payments"}), [("mine", b"1")]
    ),
    "in a flow without origin": below(lambda: remote(SAMPLED, {"pipeline.name": "payments"})),
    "with other baggage": below(lambda: remote(SAMPLED, {**FLOW, **MANY})),
    "with baggage of the application": below(
        lambda: baggage.set_baggage("mine", "1", remote(SAMPLED, FLOW))
    ),
    "with the baggage of a caller": below(
        lambda: baggage.set_baggage("pipeline.name", "invented", Context())
    ),
    "below a span of the application": below(lambda: span_of_the_application(1)),
    "below a remote one": below(lambda: span_of_the_application(3, is_remote=True)),
    "below one that is not sampled": below(lambda: span_of_the_application(2)),
    "below a remote one that is not": below(lambda: span_of_the_application(0, is_remote=True)),
    "below an invalid span": below(
        lambda: set_span_in_context(trace.INVALID_SPAN, Context({"name": "value"}))
    ),
    "below a span of no provider": _in_a_transaction_of_the_sdk,
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("case", CASES)
async def test_a_flat_send_leaves_what_a_general_one_leaves(
    case: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = SendWorld(SAMPLERS[sampler])
    by_the_flat_path = await flat.left_by(CASES[case])
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")
    general = SendWorld(SAMPLERS[sampler])
    by_the_general_code = await general.left_by(CASES[case])

    assert by_the_general_code == by_the_flat_path
    assert 2 == flat.engine.taken["send"] + sum(flat.engine.fallbacks.values())
    assert engine_of(general.telemetry) is None


@pytest.mark.parametrize("case", sorted(CASES.keys() - {"a refused record"}))
async def test_ordinary_sends_take_the_flat_path(case: str) -> None:
    world = SendWorld(ParentBased(ALWAYS_ON))
    await world.left_by(CASES[case])

    assert 2 == world.engine.taken["send"]
    assert not any(world.engine.fallbacks.values())


async def test_sends_with_other_names_of_headers_in_turns_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = SendWorld()
    by_both = await flat.left_by(_sets_of_names_in_turns)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    assert await SendWorld().left_by(_sets_of_names_in_turns) == by_both
    # Two of each are sent.
    assert 12 == flat.engine.taken["send"]
    assert 4 == flat.engine.fallbacks["replayed"]


async def test_it_takes_messages_without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["headers of the application"]
    flat = SendWorld(cloudevents=False)
    by_the_flat_path = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    assert await SendWorld(cloudevents=False).left_by(case) == by_the_flat_path
    assert 2 == flat.engine.taken["send"]


class _AtTheStart(SpanProcessor):
    """Adds to a span when it starts, as one that copies baggage to attributes does."""

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads
        self.seen: list[object] = []

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        if self.reads:
            self.seen.append(dict(span.attributes))
        span.set_attribute("pipeline.origin.seen", sorted(parent_context or ()))
        span.set_attribute("messaging.message.id", "mine")


@pytest.mark.parametrize("reads", [True, False])
async def test_a_processor_sees_and_adds_the_same(
    reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, seen = [], []
    for flat in ("on", "off"):
        monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
        world, processor = SendWorld(), _AtTheStart(reads=reads)
        world.capture.tracer_provider.add_span_processor(processor)
        left.append(await world.left_by(CASES["a partition"]))
        seen.append(processor.seen)

    assert left[0] == left[1]
    assert seen[0] == seen[1]


async def test_a_processor_that_breaks_costs_the_span_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("broken")

    left = []
    for method in ("on_start", "on_end"):
        for flat in ("on", "off"):
            monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
            world, processor = SendWorld(), SpanProcessor()
            monkeypatch.setattr(processor, method, broken)
            world.capture.tracer_provider.add_span_processor(processor)
            left.append(await world.left_by(sends([("mine", b"1")])))

    assert left[0] == left[1]
    assert left[2] == left[3]


async def test_a_ratio_of_new_traces_is_sampled_as_its_sampler_decides() -> None:
    ratio = TraceIdRatioBased(0.5)
    world = SendWorld(ParentBased(ratio))
    async with world.producer as producer:
        for _ in range(64):
            await producer.send_and_wait("orders", b"v")

    written = [dict(record.headers)["traceparent"] for record in world.broker.records("orders")]
    sampled = {
        value: ratio.should_sample(None, int(value[3:35], 16), "send").decision
        is Decision.RECORD_AND_SAMPLE
        for value in map(bytes.decode, written)
    }
    assert {True, False} == set(sampled.values())
    assert {value: "03" if kept else "02" for value, kept in sampled.items()} == {
        value: value[53:] for value in sampled
    }
    kept = {f"{span.get_span_context().trace_id:032x}" for span in world.capture.spans()}  # type: ignore[union-attr]  # it has one
    assert {value[3:35] for value, kept in sampled.items() if kept} == kept
    assert 64 == world.engine.taken["send"]


class _AsksEverything(Sampler):
    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "asks everything"


async def test_a_new_trace_that_another_sampler_decides_on_goes_through_the_general_code() -> None:
    world = SendWorld(ParentBased(_AsksEverything()))
    await world.left_by(sends())
    assert (0, 2) == (world.engine.taken["send"], world.engine.fallbacks["parent"])

    below_a_record = SendWorld(ParentBased(_AsksEverything()))
    await below_a_record.left_by(CASES["below a record that is sampled"])
    assert 2 == below_a_record.engine.taken["send"]


STATE = TraceState([("vendor", "value")])
UNUSUAL: dict[Reason, list[Case]] = {
    "context_headers": [
        sends([("traceparent", SAMPLED)]),
        sends([("mine", b"1"), ("baggage", b"a=b")]),
    ],
    "replayed": [sends([(REPLAY_GROUP, b"g"), (REPLAY_ID, b"orders/0/1")])],
    "headers": [sends([(f"name-{number}", b"") for number in range(33)])],
    "record": [sends([("ce_type", b"\xff")]), sends([("ce_type", b"")])],
    "parent": [
        below(lambda: Context({SPAN_KEY: RemoteSpan(SAMPLED, b"vendor=value")})),
        below(
            lambda: set_span_in_context(
                NonRecordingSpan(SpanContext(1, 2, False, TraceFlags(1), STATE)),
                Context(),
            )
        ),
    ],
    "suppressed": [below(lambda: set_value(SUPPRESSED, True, Context()))],
}


@pytest.mark.parametrize(
    ("reason", "case"), [(reason, case) for reason, cases in UNUSUAL.items() for case in cases]
)
async def test_an_unusual_send_goes_through_the_general_code_and_nowhere_else(
    reason: Reason, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = SendWorld()
    by_both = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    # The same counts: nothing was counted before the general code took over.
    assert await SendWorld().left_by(case) == by_both
    assert {reason: 2} == {name: n for name, n in flat.engine.fallbacks.items() if n}
    assert 0 == flat.engine.taken["send"]


async def test_a_topic_with_a_boundary_goes_through_the_general_code() -> None:
    world = SendWorld(boundaries={"orders": Boundary(trace_context=False)})
    await world.left_by(sends())

    assert 2 == world.engine.fallbacks["topic"]
    assert 0 == world.engine.taken["send"]


async def test_a_schema_goes_through_the_general_code_from_then_on() -> None:
    world = SendWorld()
    await world.producer.start()
    await world.producer.send_and_wait("orders", b"v")
    world.telemetry.describe_schema = lambda *_: {"pipeline.schema.id": 7}
    lines = await world.left_by(lambda producer: producer.send_and_wait("orders", b"v"))

    assert "attribute pipeline.schema.id 7" in lines
    assert (1, 1) == (world.engine.taken["send"], world.engine.fallbacks["schema"])


async def test_a_fault_on_the_flat_path_is_counted_and_the_record_goes_out_as_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SendWorld()

    def broken(*_: object) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(world.telemetry.propagation, "begun", broken)
    lines = await world.left_by(sends([("mine", b"1")]))

    assert ["header mine b'1'"] * 2 == [line for line in lines if line.startswith("header")]
    assert "pipeline.telemetry.dropped [\"reason='send'\"] 2" in lines
    assert not any(world.engine.fallbacks.values())


async def test_the_attributes_of_a_span_are_those_of_its_start() -> None:
    world = SendWorld()
    async with world.producer as producer:
        await producer.send_and_wait("orders", b"v")
        destination = producer._destinations["orders"].types[b"orders"]
        destination.attributes = {**destination.attributes, "kafka.cluster.id": "c-1"}
        await producer.send_and_wait("orders", b"v")

    first, second = world.capture.spans()
    assert "kafka.cluster.id" not in (first.attributes or {})
    assert "c-1" == (second.attributes or {})["kafka.cluster.id"]


async def test_a_queued_span_keeps_neither_headers_nor_record() -> None:
    world = SendWorld()
    async with world.producer as producer:
        begun = producer._begin("orders", b"v", None, None, [("mine", b"1")])
        assert isinstance(begun, FlatSending)
        assert ("mine", b"1") in begun.headers
        begun.acknowledged(None)

    assert [] == begun.headers
    assert await eventually(world.capture.spans)


async def test_a_send_leaves_the_context_as_it_was() -> None:
    world = SendWorld()
    before = get_current()
    async with world.producer as producer:
        await producer.send_and_wait("orders", b"v")

    assert before is get_current()
