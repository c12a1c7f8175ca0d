from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.outage.hop_figures import own_times, records
from tests.outage.objective_figures import late_share, most_at_once
from tests.outage.span_truth import SpanTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROCESS = b"process"
_NS = 1_000_000_000


def _take(
    truth: SpanTruth,
    attributes: Mapping[str, str | float],
    start_s: float,
    end_s: float,
    *,
    parent: bytes = b"",
) -> None:
    values = {
        name: AnyValue(string_value=value)
        if isinstance(value, str)
        else AnyValue(double_value=value)
        for name, value in {
            "messaging.consumer.group.name": "g",
            "messaging.destination.name": "t",
            **attributes,
        }.items()
    }
    span = Span(
        span_id=b"" if parent else _PROCESS,
        parent_span_id=parent,
        start_time_unix_nano=round(start_s * _NS),
        end_time_unix_nano=round(end_s * _NS),
    )
    truth.take("s", span, values)


def _processed(truth: SpanTruth, start_s: float, end_s: float, **more: str | float) -> None:
    named = {name.replace("__", "."): value for name, value in more.items()}
    attributes = {"messaging.operation.name": "process", "pipeline.outcome": "ok", **named}
    _take(truth, attributes, start_s, end_s)


def _retried(truth: SpanTruth, start_s: float, end_s: float, backoff_s: float, cause: str) -> None:
    attributes: dict[str, str | float] = {
        "messaging.operation.name": "retry",
        "pipeline.retry.backoff": backoff_s,
        "pipeline.retry.cause": cause,
        "pipeline.resource.wait.database": 0.25,
    }
    _take(truth, attributes, start_s, end_s, parent=_PROCESS)


def test_each_attempt_at_a_record_counts_with_its_own_time_and_error() -> None:
    truth = SpanTruth()
    _retried(truth, 12, 13, 1, "A")
    _retried(truth, 16, 18, 3, "B")

    _processed(truth, 10, 18.5)

    [(hop, took)] = truth.took.items()
    assert [1, 1, 2] == list(took)
    assert {(hop, "A"): 1, (hop, "B"): 1} == truth.failed == truth.retries
    assert ([3], [5]) == (list(truth.attempts[hop]), list(truth.retried_s[hop]))
    assert ([3], [5]) == (list(truth.handled_s[hop]), list(truth.made_good_s[hop]))
    assert [0.25, 0.25] == list(truth.resource_waits["database"][hop])
    assert {("g", "t"): 1} == records(truth)


def test_a_record_that_failed_to_the_end_takes_no_time_of_a_flow() -> None:
    truth = SpanTruth()
    _retried(truth, 12, 13, 1, "A")

    _processed(truth, 10, 13, error__type="B")

    assert [2] == [len(took) for took in truth.took.values()]
    assert not truth.handled_s
    assert not truth.made_good_s


def test_a_record_whose_handling_was_stopped_is_no_attempt() -> None:
    truth = SpanTruth()

    _take(truth, {"messaging.operation.name": "process"}, 1, 2)

    assert not truth.took


def test_the_time_at_a_hop_is_made_of_its_parts() -> None:
    truth = SpanTruth()
    durations: dict[str, str | float] = {
        "pipeline__name": "p",
        "pipeline__wait__duration": 2.0,
        "pipeline__publish__duration": 1.0,
    }

    _processed(truth, 10, 14, **durations)

    assert {("p", "g", "t"): 7.0} == own_times(truth)


def test_sends_are_kept_apart_by_their_error() -> None:
    truth = SpanTruth()
    send = {"messaging.operation.name": "send"}

    _take(truth, send, 1, 2)
    _take(truth, {**send, "error.type": "Down"}, 1, 4)

    assert {("s", "t", "send", ""): [1], ("s", "t", "send", "Down"): [3]} == {
        key: list(seconds) for key, seconds in truth.sent_s.items()
    }


def test_what_never_arrives_is_late() -> None:
    assert 0.25 == late_share([1, 5, 5, 6], limit_s=5)
    assert 0.5 == late_share([1, 6], limit_s=5, never=0)
    assert pytest.approx(3 / 5) == late_share([1, 2, 6], limit_s=5, never=2)


def test_spells_that_touch_do_not_overlap() -> None:
    assert 2 == most_at_once([(1, 5), (2, 3), (3, 4), (5, 6)])
    assert 0 == most_at_once([])
