"""The scenario `notification`: events with state beside notices, whose reader calls back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.report import check_traces
from demo_pipeline.report.coupling import couplings
from demo_pipeline.report.delivery import deliveries
from demo_pipeline.report.facts import read_spans
from tests.demo_pipeline.app.silent import Silent
from tracing.testing import assert_span_tree

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from demo_pipeline.report import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_SHOWN = {"OrderPlaced": {"orders", "analytics"}, "OrderPlacedNotice": {"orders", "receipts"}}


async def _run(orders: int, rate: float) -> Any:
    load = Load(orders=orders, rate=rate, seed=1)
    return await run(
        RunOptions(
            load=load, scenario="notification", bootstrap_servers=None, kafka=False, http_port=0,
            timeout_s=60,
        ),
        Silent(),
    )  # fmt: skip


def _both_patterns(result: RunResult, order_id: str) -> list[ReadableSpan]:
    """Return the spans of an order that are about its placing, with one reader of each pattern."""

    def is_shown(span: ReadableSpan) -> bool:
        attributes = span.attributes or {}
        if "http.request.method" in attributes:
            return True
        services = _SHOWN.get(str(attributes.get("cloudevents.event_type")), set())
        return span.resource.attributes["service.name"] in services

    (trace_id,) = {
        span.context.trace_id
        for span in result.spans
        if (span.attributes or {}).get("messaging.message.conversation_id") == order_id
        and span.name.startswith("process ")
    }
    return [span for span in result.spans if span.context.trace_id == trace_id and is_shown(span)]


async def test_both_patterns_of_an_order_are_in_one_trace() -> None:
    outcome = await _run(orders=3, rate=20)

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    for order_id in outcome.result.order_ids:
        assert_span_tree(
            _both_patterns(outcome.result, order_id),
            """
            POST /orders SERVER
              send orders.events PRODUCER
                process orders.events CONSUMER
              send orders.notices PRODUCER
                process orders.notices CONSUMER
                  GET /orders/{order_id} CLIENT
                    GET /orders/{order_id} SERVER
            """,
        )


async def test_while_the_orders_api_is_down_notices_wait_and_nothing_is_lost() -> None:
    outcome = await _run(orders=12, rate=20)

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    full, thin = couplings(read_spans(outcome.result.spans))
    assert ("OrderPlaced", 12, 0, 0, ()) == (
        full.message_type, full.events, full.call_backs, full.failed, full.asked
    )  # fmt: skip
    assert ("OrderPlacedNotice", 12, ("receipts",), ("orders",)) == (
        thin.message_type, thin.events, thin.readers, thin.asked
    )  # fmt: skip
    # Every notice has exactly one answer in the end, however often it was asked for.
    assert thin.failed > 0
    assert 12 == thin.call_backs - thin.failed
    assert full.size is not None
    assert thin.size is not None
    assert thin.size.p95 < full.size.p50
    retried = {each.group for each in deliveries(outcome.result.metrics) if each.retries}
    dead = [each.group for each in deliveries(outcome.result.metrics) if each.dead_letters]
    # The readers of the whole order do not even notice.
    assert ({"receipts"}, []) == (retried, dead)
