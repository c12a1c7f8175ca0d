"""Where is the trace of this order, saga or event?"""

from __future__ import annotations

from dashboards.model.board import Board, Box, LogsPanel, Row, TracesPanel, TraceView


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
                "By id: type one above",
                (
                    TracesPanel(
                        title="Traces of this order or subject",
                        description="The subject of CloudEvents, such as the order's id.",
                        query='{ span.messaging.message.conversation_id = "$subject" }',
                        width=8,
                        height=7,
                    ),
                    TracesPanel(
                        title="Traces of this saga",
                        description="The spans of a saga and of its steps carry its id.",
                        query='{ span.pipeline.saga.id = "$saga_id" }',
                        width=8,
                        height=7,
                    ),
                    TracesPanel(
                        title="Traces of this event",
                        description="The `ce_id` of an event.",
                        query='{ span.messaging.message.id = "$event_id" }',
                        width=8,
                        height=7,
                    ),
                    TraceView(
                        title="This trace",
                        description="The trace whose id stands above, as it stands in a log line, "
                        "a dead letter or a table of traces.",
                        query="$trace_id",
                        width=14,
                        height=14,
                    ),
                    LogsPanel(
                        title="Logs of this trace",
                        description="What services logged while they worked on it.",
                        query='{service_name=~".+"} | trace_id != "" | trace_id = "$trace_id"',
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
                        description="Traces in which the service took part and that took longer "
                        "than chosen above.",
                        query='{ resource.service.name =~ "$service" && trace:duration > '
                        "$slower_than }",
                        width=12,
                    ),
                    TracesPanel(
                        title="Failed traces",
                        description="Traces in which something failed technically. A business "
                        "rejection is not a failure.",
                        query='{ resource.service.name =~ "$service" && status = error }',
                        width=12,
                    ),
                ),
            ),
        ),
    )
