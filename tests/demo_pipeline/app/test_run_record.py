from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from demo_pipeline.app.run_record import unreadable_orders
from tests.demo_pipeline.report.recording import Recorder

UNREADABLE = {
    "messaging.consumer.group.name": "orchestrator",
    "messaging.message.conversation_id": "o-1",
    "pipeline.outcome": "dead_lettered",
    "error.type": "tracing.UndecodableRecord",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"o-1"}),
        ({"error.type": "sqlalchemy.exc.OperationalError"}, set()),
        ({"pipeline.outcome": "error"}, set()),
        ({"messaging.consumer.group.name": "analytics"}, set()),
    ],
)
def test_only_an_order_that_could_not_be_decoded_need_not_end(
    changes: dict[str, Any], expected: set[str]
) -> None:
    recorder = Recorder()
    recorder.span(
        "orchestrator", "process orders.events", SpanKind.CONSUMER, 0, 1,
        attributes=UNREADABLE | changes,
    )  # fmt: skip

    assert expected == unreadable_orders(recorder.spans)
