"""Find the trace of an order, a saga or an event."""

from __future__ import annotations

from dashboards.model.board import (
    CHOSEN_SERVICE,
    Board,
    Box,
    LogsPanel,
    Row,
    TracesPanel,
    TraceView,
)


def trace_finder_board() -> Board:
    """Make the dashboard."""
    return Board(
        name="traces",
        title="trace finder",
        description="Where is the trace of this order, saga or event, and what was logged in it?",
        variables=("service",),
        boxes=(
            Box(name="subject", label="Order or other subject"),
            Box(name="saga_id", label="Saga id"),
            Box(name="event_id", label="Event id"),
            Box(name="trace_id", label="Trace id"),
            Box(
                name="slower_than",
                label="Slower than",
                choices=("1s", "100ms", "250ms", "5s", "30s", "5m"),
            ),
        ),
        rows=(
            Row(
                "By id: enter one above",
                (
                    TracesPanel(
                        title="Traces of this order or subject",
                        description="Traces by the CloudEvents subject, such as the order id.",
                        query="{ span.messaging.message.conversation_id = `$subject` }",
                        width=8,
                        height=7,
                    ),
                    TracesPanel(
                        title="Traces of this saga",
                        description="Traces by saga id, which the spans of the saga and of its "
                        "steps have.",
                        query="{ span.pipeline.saga.id = `$saga_id` }",
                        width=8,
                        height=7,
                    ),
                    TracesPanel(
                        title="Traces of this event",
                        description="Traces by event id, the `ce_id` header.",
                        query="{ span.messaging.message.id = `$event_id` }",
                        width=8,
                        height=7,
                    ),
                    TraceView(
                        title="This trace",
                        description="The trace with the id entered above. Log lines, dead "
                        "letters and tables of traces show the id.",
                        query="$trace_id",
                        width=14,
                        height=14,
                    ),
                    LogsPanel(
                        title="Logs of this trace",
                        description="Log lines of all services for this trace.",
                        query='{service_name=~".+"} | trace_id != "" | trace_id = `$trace_id`',
                        width=10,
                        height=14,
                    ),
                ),
            ),
            Row(
                "By what went wrong",
                (
                    TracesPanel(
                        title="Slow traces",
                        description="Traces with a span of the service that took longer than the "
                        "duration chosen above.",
                        query=f"{{ {CHOSEN_SERVICE} && trace:duration > $slower_than }}",
                        width=12,
                    ),
                    TracesPanel(
                        title="Failed traces",
                        description="Traces with a technical failure. A business rejection is "
                        "not a failure.",
                        query=f"{{ {CHOSEN_SERVICE} && status = error }}",
                        width=12,
                    ),
                ),
            ),
        ),
    )
