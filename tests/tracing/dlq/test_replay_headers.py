"""Headers of a replayed record, also after repeated failures; selections."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import NoOpTracerProvider

from tests.tracing.dlq import other_systems
from tracing import Provenance, Replay, Telemetry
from tracing.dlq import Letter, LetterId, Selection, replay_headers
from tracing.dlq.outgoing import ReplaySends
from tracing.headers.dead_letter import ERROR_HEADERS, FIRST_FAILED_AT
from tracing.kafka.transport import KAFKA
from tracing.messaging.transport import ClientInfo
from tracing.testing import Capture

_OWN = ERROR_HEADERS | {"__pipeline.replay.group", "__pipeline.replay.id"}
_HEADERS = st.lists(
    st.tuples(
        st.text(max_size=20).filter(lambda name: name not in {*_OWN, "traceparent", "tracestate"}),
        st.none() | st.binary(max_size=50),
    ),
    max_size=20,
)


def provenance(**changes: Any) -> Provenance:
    values: dict[str, Any] = {
        "topic": "orders", "partition": 3, "offset": 7, "timestamp_ms": 1, "group": "payment",
        "exception": "ConnectionError", "message": "away", "attempts": 3,
        "first_failed_at_ms": 1000, "failed_at_ms": 2000,
    }  # fmt: skip
    return Provenance(**{**values, **changes})


def dead_letter(headers: list[tuple[str, bytes | None]], offset: int = 0) -> Letter:
    record = ConsumerRecord[Any, Any](
        "orders.payment.dlq", 0, offset, 1, 0, b"k", b"v", None, 1, 1, headers  # type: ignore[arg-type]  # as aiokafka
    )  # fmt: skip
    return Letter.of(record)


@settings(deadline=None)
@given(_HEADERS)
def test_the_records_own_headers_survive_every_replay(own: list[tuple[str, bytes | None]]) -> None:
    headers = [*own, ("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]
    ids = set()
    for round_number in range(3):
        origin = provenance(offset=round_number)
        lost = dead_letter([*headers, *origin.headers()], offset=round_number)
        headers, mark = replay_headers(lost, origin)
        assert mark is not None
        ids.add(mark.id)
        names = [name for name, _ in headers]
        assert own == [pair for pair in headers if pair[0] not in _OWN]
        assert (1, 1, 1) == tuple(
            names.count(name)
            for name in ("__pipeline.replay.group", "__pipeline.replay.id", FIRST_FAILED_AT)
        )
        assert "traceparent" not in names
        assert (FIRST_FAILED_AT, b"1000") in headers
        assert Replay(group="payment", id="orders/3/0") == mark
        headers = [
            pair for pair in headers if pair[0] != FIRST_FAILED_AT
        ]  # the next failure writes it again
    assert {"orders/3/0"} == ids


@pytest.mark.parametrize("traced", [True, False])
def test_the_failed_traces_randomness_goes_along(traced: bool) -> None:
    origin = provenance()
    lost = dead_letter(
        [
            ("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-03"),
            ("tracestate", b"ot=th:6;rv:6e6d1a75832a2f,vendor=1"),
            *origin.headers(),
        ]
    )
    headers, mark = replay_headers(lost, origin)
    sampler = ParentBased(ALWAYS_ON)

    with Capture(sampler=sampler) as capture:
        provider = capture.tracer_provider if traced else NoOpTracerProvider()
        telemetry = Telemetry("orders", tracer_provider=provider, meter_provider=None)
        sends = ReplaySends(telemetry, ClientInfo(transport=KAFKA))
        sending = sends.begin(lost, origin, headers, mark)

    assert sending is not None
    written = dict(sending.headers)
    if traced:
        # A trace of its own has no use for the other vendor's entry.
        assert b"ot=th:6;rv:6e6d1a75832a2f" == written["tracestate"]
        assert b"1" * 16 == (written["traceparent"] or b"")[19:35]
    else:
        assert b"ot=th:6;rv:6e6d1a75832a2f,vendor=1" == written["tracestate"]
        assert lost.context is not None
        assert 0x03 == lost.context.trace_flags


@pytest.mark.parametrize(
    ("written", "shown"),
    [(b"OrderPlaced", {"cloudevents.event_type": "OrderPlaced"}), (b"\xff", {})],
)
def test_a_replay_and_its_link_name_the_type_of_the_message(
    written: bytes, shown: dict[str, str]
) -> None:
    origin = provenance()
    traceparent = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    lost = dead_letter([("ce_type", written), ("traceparent", traceparent), *origin.headers()])
    headers, mark = replay_headers(lost, origin)

    with Capture() as capture:
        telemetry = Telemetry(
            "orders", tracer_provider=capture.tracer_provider, meter_provider=None
        )
        sending = ReplaySends(telemetry, ClientInfo(transport=KAFKA)).begin(
            lost, origin, headers, mark
        )
        assert sending is not None
        sending.acknowledged(None)
        (span,) = capture.spans()

    (link,) = span.links
    assert shown == dict(link.attributes or {})
    assert shown.items() <= (span.attributes or {}).items()


def test_two_dead_letters_of_one_record_are_replayed_with_one_id() -> None:
    origin = provenance()
    marks = {
        replay_headers(dead_letter(origin.headers(), offset), origin)[1] for offset in (100, 101)
    }

    assert {Replay(group="payment", id="orders/3/7")} == marks


def test_marks_from_another_topic_do_not_count() -> None:
    origin = provenance(topic="priced", partition=0, offset=9)
    foreign = Replay(group="pricing", id="orders/3/7").headers()

    headers, mark = replay_headers(dead_letter([*foreign, *origin.headers()]), origin)

    assert Replay(group="payment", id="priced/0/9") == mark
    assert mark.headers() == [pair for pair in headers if "replay" in pair[0]]


@pytest.mark.parametrize(
    "claimed", ["orders/3/7", "orders/3/8", "orders/2/1", "orders/3/01", "orders/3/x", "orders"]
)
def test_a_mark_that_does_not_fit_the_failed_record_is_replaced(claimed: str) -> None:
    origin = provenance(partition=3, offset=7)
    forged = Replay(group="payment", id=claimed).headers()

    _, mark = replay_headers(dead_letter([*forged, *origin.headers()]), origin)

    assert Replay(group="payment", id="orders/3/7") == mark


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.none() | st.binary(max_size=80)), max_size=40))
def test_no_header_makes_reading_a_dead_letter_fail(
    headers: list[tuple[str, bytes | None]],
) -> None:
    read = dead_letter(headers)

    assert read.provenance is None or read.provenance.topic
    assert read.context is None or read.context.is_valid


@settings(deadline=None)
@given(
    st.builds(
        provenance,
        topic=st.text(min_size=1, max_size=30),
        group=st.text(max_size=30),
        message=st.text(max_size=300),
        partition=st.integers(0, 2**31 - 1),
        offset=st.integers(0, 2**63 - 1),
        timestamp_ms=st.integers(-1, 2**42),
    )
)
def test_provenance_survives_its_headers(origin: Provenance) -> None:
    read = Provenance.from_headers(origin.headers())

    assert read is not None
    assert (origin.partition, origin.offset, origin.timestamp_ms) == (
        read.partition,
        read.offset,
        read.timestamp_ms,
    )


@pytest.mark.parametrize("text", ["", "orders", "orders/1", "orders/x/1", "/1/1", "orders/-1/1"])
def test_an_invalid_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="TOPIC/PARTITION/OFFSET"):
        LetterId.parse(text)


@pytest.mark.parametrize("write", [other_systems.connect, other_systems.streams])
def test_a_stale_mark_and_trace_do_not_come_back_with_a_dead_letter_of_another_system(
    write: Any,
) -> None:
    stale = Replay(group="shipping", id="orders/1/0").headers()
    lost = dead_letter([*stale, *write("orders"), ("tracestate", b"a=b")])
    assert lost.provenance is not None

    headers, mark = replay_headers(lost, lost.provenance)

    kept = [pair for pair in other_systems.MINE if pair[0] != "traceparent"]
    assert [*kept, *([] if mark is None else mark.headers())] == headers
    assert Replay.from_headers(headers) == mark


@settings(deadline=None)
@given(own=_HEADERS)
def test_the_records_own_headers_survive_a_replay_from_another_system(
    own: list[tuple[str, bytes | None]],
) -> None:
    springs = ("kafka_", "retry_topic-", "springDeserializerException")
    own = [pair for pair in own if not pair[0].startswith(springs)]
    lost = dead_letter([*own, *other_systems.spring("orders")])
    assert lost.provenance is not None

    headers, _ = replay_headers(lost, lost.provenance)

    assert own == headers[: len(own)]


def test_a_selected_dead_letter_meets_all_conditions() -> None:
    lost = dead_letter(provenance(failed_at_ms=2000).headers())
    without_provenance = dead_letter([])

    fitting = (
        Selection(),
        Selection(groups=frozenset({"payment"}), errors=("Conn*",)),
        Selection(source_topics=frozenset({"orders"}), since_ms=2000, until_ms=2001),
        Selection(ids=frozenset({lost.id})),
    )
    others = (
        Selection(groups=frozenset({"shipping"})),
        Selection(errors=("connectionerror",)),
        Selection(since_ms=2001),
        Selection(until_ms=2000),
        Selection(ids=frozenset({LetterId("orders.payment.dlq", 0, 1)})),
    )
    assert [True] * 4 == [lost in selection for selection in fitting]
    assert [False] * 5 == [lost in selection for selection in others]
    assert without_provenance in Selection()
    assert without_provenance not in Selection(groups=frozenset({"payment"}))
