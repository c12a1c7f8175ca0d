"""What waits for its export keeps no record: its value may be large, and the queues are long."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.messaging.flat.both_ways import Records, headers, record
from tracing import TracedConsumer

if TYPE_CHECKING:
    from tracing import Telemetry
    from tracing.testing import Capture


class _Value:
    """A large value."""


async def test_the_log_events_of_failed_handlings_keep_no_record(
    telemetry: Telemetry, capture: Capture
) -> None:
    values = [_Value() for _ in range(3)]
    kept = [weakref.ref(value) for value in values]
    bare: Any = Records(
        [record(headers(), offset, value=each) for offset, each in enumerate(values)]
    )
    consumer = TracedConsumer(bare, telemetry, group="g")
    del values

    async def fail() -> None:
        received = await bare.getone()
        with pytest.raises(ValueError, match="no"), consumer.process(received):
            raise ValueError("no")

    for _ in kept:
        await fail()
    gc.collect()

    assert [None] * 3 == [reference() for reference in kept]
    logged = capture.log_records()
    assert [span.context and span.context.span_id for span in capture.spans()] == [
        each.log_record.span_id for each in logged
    ]
    assert 3 == len(logged)
