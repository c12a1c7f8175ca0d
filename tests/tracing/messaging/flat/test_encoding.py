"""Flat spans of all shapes are encoded to the same message as by the SDK's encoder.

Those of the oracle have few offsets, and times close to each other. These have the borders of what
spans share: the plans are kept from span to span, as in a service.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext, SpanKind

from tracing.export.span_encoding import SpanEncoder
from tracing.headers.flow import OriginWindow
from tracing.messaging.flat.near import NO_FLOW_YET, NO_NUMBERS
from tracing.messaging.flat.process_span import ProcessSpan
from tracing.messaging.flat.send import SentSpan
from tracing.spans.choose import span_starter
from tracing.spans.flat import FlatSpans, SpanPlan

if TYPE_CHECKING:
    from tracing.spans.flat import FlatSpan

NOW_MS: Final = 1_790_000_000_000
OWN: Final = b"00-4bf92f3577b34da6a3ce929d0e0e4736-0af067aa0ba902b7-01"
ABOVE: Final = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"
LINKS: Final = (Link(SpanContext(1, 2, is_remote=True)),)

OFFSETS: Final = st.one_of(
    st.builds(
        lambda border, step: max(0, border + step),
        st.sampled_from([0, 1 << 7, 1 << 8, 1 << 14, 1 << 21, 1 << 42, (1 << 62)]),
        st.integers(-130, 130),
    ),
    st.integers(0, (1 << 63) - 1),
)
# The lowest 14 bits of what follows are 0.
BORDER_MS: Final = NOW_MS >> 14 << 14
MOMENTS: Final = st.one_of(
    st.integers(BORDER_MS - 300, BORDER_MS + 300),
    st.integers(NOW_MS - 40_000, NOW_MS + 40_000),
    st.integers(NOW_MS - 40 * 86_400_000, NOW_MS + 400_000),
)
TEXTS: Final = st.one_of(
    st.none(),
    st.sampled_from([b"", b"order-17", "größe".encode(), b"\xff\xfe", b"x" * 127, b"x" * 128]),
    st.binary(max_size=40),
    st.sampled_from("0123456789abcdef").map(lambda digit: digit.encode() * 32),
)
ADDED: Final = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["order.id", "total", "größe"]),
        st.one_of(
            st.text(max_size=20), st.sampled_from(["x" * 127, "x" * 128]), st.booleans(),
            st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.just((1, "a")),
        ),
    ),
)  # fmt: skip
ABOVES: Final = st.sampled_from([None, ABOVE])
PIPELINES: Final = st.sampled_from([None, "orders", "größe"])


def created(moment_ms: int, form: str = "%s.%03dZ") -> bytes:
    """Write a moment as `ce_time` does, by default as this library does."""
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return (form % (moment.strftime("%Y-%m-%dT%H:%M:%S"), moment_ms % 1000)).encode()


CREATED: Final = st.one_of(
    MOMENTS.map(created),
    MOMENTS.map(lambda moment_ms: created(moment_ms, "%s.%03d+00:00")),
    st.sampled_from(
        [None, b"", b"yesterday", b"2026-01-02T03:04:05.6x8Z", b"2026-13-02T03:04:05.678Z"]
    ),
)


class Plan(SpanPlan):
    """A plan of process spans without a consumer."""

    __slots__ = ("numbers", "telemetry")

    def __init__(self, name: str) -> None:
        super().__init__(name, SpanKind.CONSUMER, {"messaging.system.name": "kafka"})
        self.numbers = NO_NUMBERS
        self.telemetry = SimpleNamespace(window=OriginWindow(max_age_ms=30 * 86_400_000))


class Kinds:
    """Spans of a tracer, and their plans."""

    def __init__(self) -> None:
        spans = FlatSpans.of(
            span_starter(TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False))
        )
        assert spans is not None
        self.process, self.sent = spans.kind(ProcessSpan), spans.kind(SentSpan)
        self.plans = [Plan("process a"), Plan("process b")]
        self.sends = SpanPlan("send a", SpanKind.PRODUCER, {"messaging.system.name": "kafka"})
        self.topic = SimpleNamespace(flow=NO_FLOW_YET, places={})


KINDS: Final = Kinds()


def _filled(span: FlatSpan, **values: Any) -> FlatSpan:
    for name, value in values.items():
        setattr(span, name, value)
    return span


def _times(start_ms: int, taken_ns: int) -> dict[str, int]:
    start_ns = start_ms * 1_000_000 + 999_999
    return {"start_ns": start_ns, "end_ns": start_ns + taken_ns}


def _process(plan: int, times: dict[str, int], rare: dict[str, Any], **values: Any) -> FlatSpan:
    span = object.__new__(KINDS.process)
    return _filled(
        span,
        plan=KINDS.plans[plan],
        traceparent=OWN,
        above_is_remote=True,
        **times,
        **values,
        **rare,
    )


def _sent(times: dict[str, int], place: tuple[int, int] | None, **values: Any) -> FlatSpan:
    span = object.__new__(KINDS.sent)
    return _filled(
        span, plan=KINDS.sends, traceparent=OWN, send=SimpleNamespace(topic=KINDS.topic),
        placed=place, **times, **values,
    )  # fmt: skip


TIMES: Final = st.builds(_times, MOMENTS, st.integers(-10_000_000, 10_000_000_000))
PROCESSES: Final = st.builds(
    _process,
    st.integers(0, 1),
    TIMES,
    st.sampled_from(
        [
            {}, {}, {}, {"mixed_type": b"OrderPlaced"}, {"early": {"first": 1}},
            {"added_links": LINKS}, {"light_events": [("event", {"a": 1}, 7)]},
        ]
    ),
    above=ABOVES,
    added=ADDED,
    event_id=TEXTS,
    subject=TEXTS,
    created=CREATED,
    offset=OFFSETS,
    timestamp=MOMENTS,
    tombstone=st.sampled_from([False, False, True]),
    pipeline=PIPELINES,
    origin_ms=st.one_of(MOMENTS, st.sampled_from([None, 0, 127, 1 << 14])),
    ended_well=st.sampled_from([True, True, False]),
)  # fmt: skip
SENDS: Final = st.builds(
    _sent,
    TIMES,
    st.one_of(st.none(), st.tuples(st.sampled_from([0, 1, 12, 1000]), OFFSETS)),
    above=ABOVES,
    above_is_remote=st.booleans(),
    added=ADDED,
    pipeline=PIPELINES,
    origin=st.one_of(
        MOMENTS, MOMENTS.map(str), st.sampled_from([None, 0, "0", "١٢", "9" * 15, b"17", ""])
    ),
    message_id=TEXTS,
    subject=TEXTS,
    rare=st.sampled_from([None, None, {"messaging.message.tombstone": True}]),
)


STEPS: Final = st.one_of(st.integers(-140, 140), st.sampled_from([-(1 << 14), 1 << 14, 300_000]))


def _run(first: int, shapes: list[tuple[str, int, int, int, str]]) -> list[FlatSpan]:
    """Return usual spans of one lane, whose numbers are near those of the span before."""
    offset, origin_ms = first, BORDER_MS
    spans = []
    for kind, step, origin_step, created_step, pipeline in shapes:
        offset = max(0, offset + step)
        origin_ms += origin_step
        common: dict[str, Any] = {"above": ABOVE, "added": None, "pipeline": pipeline}
        times = _times(origin_ms + 5, 7_000_000)
        if kind == "process":
            spans.append(
                _process(
                    0, times, {}, event_id=b"e" * 32, subject=b"order-17", offset=offset,
                    created=created(origin_ms + created_step), timestamp=origin_ms + 3,
                    tombstone=False, origin_ms=origin_ms, ended_well=True, **common,
                )
            )  # fmt: skip
        else:
            spans.append(
                _sent(
                    times, (0, offset), above_is_remote=False, origin=origin_ms,
                    message_id=b"e" * 32, subject=None, rare=None, **common,
                )
            )  # fmt: skip
    return spans


RUNS: Final = st.builds(
    _run,
    st.sampled_from([0, 128, 1 << 14]),
    st.lists(
        st.tuples(
            st.sampled_from(["process", "process", "send"]),
            STEPS,
            STEPS,
            st.one_of(STEPS, st.integers(299_990, 300_010), st.just(-31 * 86_400_000)),
            st.sampled_from(["orders", "orders", "billing"]),
        ),
        min_size=1,
        max_size=12,
    ),
)


def same(encoder: SpanEncoder, spans: list[ReadableSpan]) -> None:
    """Compare before the SDK's encoder builds the spans."""
    written = [ExportTraceServiceRequest.FromString(encoder.encode([span])) for span in spans]

    assert [encode_spans([span]) for span in spans] == written
    assert 0 == encoder.left_to_sdk


@given(st.lists(st.one_of(PROCESSES, SENDS), min_size=1, max_size=6))
def test_spans_of_any_shape(spans: list[ReadableSpan]) -> None:
    same(SpanEncoder(), spans)


@given(RUNS)
def test_spans_whose_numbers_are_near_each_other(spans: list[ReadableSpan]) -> None:
    same(SpanEncoder(), spans)


@pytest.mark.parametrize("kind", ["process", "send"])
@pytest.mark.parametrize("border", [1 << 7, 1 << 8, 1 << 14, 1 << 21])
def test_offsets_that_get_more_octets(border: int, kind: str) -> None:
    same(SpanEncoder(), [*_run(border - 3, [(kind, 1, 1, 0, "orders")] * 5)])
