"""A flow counts only if a record or this library names it."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from opentelemetry import baggage, propagate
from opentelemetry.context import Context, attach, detach, get_current

from tracing import Boundary, SagaTracker, Telemetry, TracedConsumer, TracedProducer
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

DAY_MS = 86_400_000
EVIL = "pipeline.name=EVIL,pipeline.origin=1000000000000"
END_TO_END = "pipeline.end_to_end.duration"


def _telemetry(capture: Capture, **options: Any) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        logger_provider=capture.logger_provider,
        **options,
    )


def _now_ms() -> int:
    return int(time.time() * 1000)


def _record(
    flow: str, *headers: tuple[str, bytes], timestamp: int | None = None, topic: str = "t"
) -> Any:
    written = _now_ms() if timestamp is None else timestamp
    return ConsumerRecord(
        topic, 0, 8, written, 0, None, b"x", None, 0, 1, (("baggage", flow.encode()), *headers)
    )


def _consumer(telemetry: Telemetry) -> TracedConsumer:
    return TracedConsumer(InMemoryConsumer("t", broker=InMemoryBroker()), telemetry, group="g")


def _invalid(capture: Capture, reason: str) -> Any:
    return capture.metric("pipeline.context.invalid", {"reason": reason})


async def _sent(telemetry: Telemetry, **options: Any) -> dict[str, bytes | None]:
    broker = InMemoryBroker()
    async with TracedProducer(InMemoryProducer(broker), telemetry) as producer:
        await producer.send_and_wait("next", b"v", **options)
    (record,) = broker.records("next")
    return dict(record.headers)


async def test_baggage_of_a_caller_names_no_flow_and_is_not_forwarded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture)
        token = attach(propagate.extract({"baggage": f"{EVIL},pipeline.x=1,tenant=t1"}))
        with caplog.at_level(logging.WARNING, "tracing"):
            before_ms = _now_ms()
            sent = [await _sent(telemetry), await _sent(telemetry)]
        detach(token)
        assert 6 == _invalid(capture, "caller")
        assert None is capture.metric("pipeline.publish.duration", {"pipeline": "EVIL"})
    for headers in sent:
        flow = dict(entry.split("=") for entry in (headers["baggage"] or b"").decode().split(","))
        assert ("orders", "t1") == (flow["pipeline.name"], flow["tenant"])
        assert before_ms <= int(flow["pipeline.origin"]) <= _now_ms()
        assert "pipeline.x" not in flow


async def test_a_handler_keeps_the_flow_of_its_record_even_if_the_baggage_changes() -> None:
    origin = _now_ms() - 5000
    with Capture() as capture:
        telemetry = _telemetry(capture)
        async with _consumer(telemetry).process(
            _record(f"pipeline.name=billing,pipeline.origin={origin}")
        ):
            token = attach(baggage.set_baggage("tenant", "t1"))
            added = await _sent(telemetry)
            again = attach(baggage.set_baggage("pipeline.origin", "1000000000000"))
            forged = await _sent(telemetry)
            detach(again)
            detach(token)
        assert 1 == _invalid(capture, "caller")
    expected = f"pipeline.name=billing,pipeline.origin={origin},tenant=t1".encode()
    assert (expected, expected) == (added["baggage"], forged["baggage"])


@pytest.mark.parametrize(
    "origin",
    [
        "1000000000000", "1", "99999999999999", "not-a-number", "",
        # Processes that share the tests must name them alike.
        pytest.param(str(_now_ms() + 3_600_000), id="in an hour"),
    ],
)  # fmt: skip
async def test_an_impossible_origin_is_counted_and_ignored(origin: str) -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture)
        async with _consumer(telemetry).process(
            _record(f"pipeline.name=orders,pipeline.origin={origin}")
        ):
            before_ms = _now_ms()
            sent = await _sent(telemetry)
        assert None is capture.metric(END_TO_END)
        assert 1 == _invalid(capture, "origin")
    assert before_ms <= int((sent["baggage"] or b"").rpartition(b"=")[2]) <= _now_ms()


@pytest.mark.parametrize(
    ("origin_days", "record_days", "max_age_s", "expected"),
    [
        (29, 0, None, True),
        (31, 0, None, False),
        # History has old origins; what is too old is so beside its record.
        (400, 390, None, True),
        (400, 360, None, False),
        # Records of the past that are written now, and clocks that are wrong.
        (0, 400, None, True),
        (0, -400, None, True),
        (2, 0, 86_400.0, False),
        (40, 0, 50 * 86_400.0, True),
    ],
)
async def test_an_origin_is_checked_against_the_time_of_its_record(
    origin_days: int, record_days: int, max_age_s: float | None, expected: bool
) -> None:
    now_ms = _now_ms()
    options = {} if max_age_s is None else {"max_flow_age_s": max_age_s}
    with Capture() as capture:
        consumer = _consumer(_telemetry(capture, **options))
        flow = f"pipeline.name=orders,pipeline.origin={now_ms - origin_days * DAY_MS}"
        async with consumer.process(_record(flow, timestamp=now_ms - record_days * DAY_MS)):
            pass
        assert expected == (capture.metric(END_TO_END) is not None)
        assert int(not expected) == _invalid(capture, "origin")


@pytest.mark.parametrize("clock_ms", [0, 5_000, 946_684_800_000])
async def test_a_clock_that_was_never_set_does_not_give_decades_of_lag(clock_ms: int) -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture)
        record = _record(f"pipeline.name=orders,pipeline.origin={clock_ms}", timestamp=clock_ms)
        async with _consumer(telemetry).process(record):
            sent = await _sent(telemetry)
        assert None is capture.metric(END_TO_END)
        assert 1 == _invalid(capture, "origin")
    assert f"pipeline.origin={clock_ms}".encode() != (sent["baggage"] or b"").split(b",")[1]


@pytest.mark.parametrize("age", [0, -1, float("nan"), float("inf")])
def test_an_empty_or_infinite_window_is_refused(age: float) -> None:
    with pytest.raises(ValueError, match="max_flow_age_s"):
        Telemetry("orders", max_flow_age_s=age)


async def test_one_poisoned_record_does_not_decide_for_a_batch() -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture)
        origin = _now_ms() - 5000
        good = _record(f"pipeline.name=orders,pipeline.origin={origin}")
        async with _consumer(telemetry).process_batch([_record(EVIL), good]):
            sent = await _sent(telemetry)
        measured: Any = capture.metric(END_TO_END)
        assert (1, pytest.approx(5, abs=60)) == (measured.count, measured.sum)
    assert f"pipeline.name=orders,pipeline.origin={origin}".encode() == sent["baggage"]


async def test_records_of_a_boundary_topic_are_checked_like_others() -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture, boundaries={"t": Boundary()})
        async with _consumer(telemetry).process(_record(f"{EVIL},secret=1")):
            sent = await _sent(telemetry)
        assert (1, None) == (_invalid(capture, "origin"), capture.metric(END_TO_END))
    assert b"secret" not in (sent["baggage"] or b"")
    assert b"1000000000000" not in (sent["baggage"] or b"")


async def test_stored_headers_are_checked_when_they_are_sent() -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture)
        sent = await _sent(telemetry, headers=[("baggage", EVIL.encode())])
        assert 1 == _invalid(capture, "origin")
    assert b"1000000000000" not in (sent["baggage"] or b"")


@pytest.mark.parametrize("days", [60, 5000])
async def test_a_replay_of_an_old_dead_letter_is_not_counted_as_invalid(days: int) -> None:
    with Capture() as capture:
        marks = [("__pipeline.replay.group", b"g"), ("__pipeline.replay.id", b"t/0/5")]
        origin = _now_ms() - days * DAY_MS
        async with _consumer(_telemetry(capture)).process(
            _record(f"pipeline.name=orders,pipeline.origin={origin}", *marks)
        ):
            pass
        assert (0, None) == (_invalid(capture, "origin"), capture.metric(END_TO_END))


async def test_a_saga_that_lasts_longer_than_the_window_keeps_its_flow() -> None:
    started_ms = _now_ms() - 90 * DAY_MS
    with Capture() as capture:
        telemetry = _telemetry(capture)
        tracker = SagaTracker("p", telemetry)
        context = tracker.begin("o-1", started_ms * 1_000_000)
        with tracker.resumed(context):
            sent = await _sent(telemetry)
        assert 0 == _invalid(capture, "origin")
    assert f"pipeline.name=orders,pipeline.origin={started_ms}".encode() == sent["baggage"]


async def test_a_saga_does_not_keep_what_a_caller_says() -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", _telemetry(capture))
        token = attach(propagate.extract({"baggage": EVIL}))
        context = tracker.begin("o-1")
        detach(token)
    assert not any("EVIL" in value or "1000000000000" in value for _, value in context.headers)


@pytest.mark.parametrize("name", ["x%00y", "%1b[31m", "n" * 129, "", "%E2%80%AE"])
async def test_an_impossible_pipeline_name_is_counted_and_ignored(name: str) -> None:
    with Capture() as capture:
        async with _consumer(_telemetry(capture)).process(_record(f"pipeline.name={name}")):
            pass
        assert 1 == _invalid(capture, "pipeline")
        measured: Any = capture.metric("pipeline.wait.duration", {"pipeline": "orders"})
        assert 1 == measured.count


async def test_names_from_records_are_bounded_over_all_topics() -> None:
    with Capture() as capture:
        consumer = _consumer(_telemetry(capture))
        for number in range(60):
            async with consumer.process(
                _record(f"pipeline.name=p{number}", topic=f"t{number % 3}")
            ):
                pass
        rest = [
            capture.metric("pipeline.wait.duration", {"pipeline": f"p{number}"})
            for number in range(60)
        ]
    assert 31 == sum(found is not None for found in rest)


@pytest.mark.parametrize(
    ("moved_s", "expected"), [(-60, True), (60, True), (-32 * 86_400, False), (3600, False)]
)
async def test_an_impossible_event_time_gives_no_publish_duration(
    moved_s: int, expected: bool
) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + moved_s)).encode()
    with Capture() as capture:
        await _sent(_telemetry(capture), headers=[("ce_time", moment)])
        measured: Any = capture.metric("pipeline.publish.duration", {"pipeline": "orders"})
        assert int(expected) == (0 if measured is None else measured.count)
        assert int(not expected) == _invalid(capture, "ce_time")


async def test_context_values_that_are_not_about_a_flow_stay() -> None:
    with Capture() as capture:
        around = attach(Context({**get_current(), "mine": 1}))
        async with _consumer(_telemetry(capture)).process(_record("pipeline.name=orders")):
            assert 1 == get_current()["mine"]
        detach(around)
