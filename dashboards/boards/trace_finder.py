"""Where is the trace of this order, saga or event?"""

from __future__ import annotations

from dashboards.board import Board, LogsPanel, Row, TracesPanel


def trace_finder() -> Board:
    """Make the dashboard."""
    return Board(
        name="traces",
        title="trace finder",
        description="Where is the trace of this order, saga or event, and what was logged in it?",
        variables=("service",),
        texts=(
            ("subject", "Order or other subject"),
            ("saga_id", "Saga id"),
            ("event_id", "Event id"),
            ("trace_id", "Trace id"),
            ("slower_than", "Slower than"),
        ),
        rows=(
            Row(
                "By id",
                (
                    TracesPanel(
                        title="Of the subject",
                        description="The subject of CloudEvents, such as the order's id.",
                        query='{ span.messaging.message.conversation_id = "$subject" }',
                        width=12,
                    ),
                    TracesPanel(
                        title="Of the saga",
                        description="The spans of a saga and of its steps carry its id.",
                        query='{ span.pipeline.saga.id = "$saga_id" }',
                        width=12,
                    ),
                    TracesPanel(
                        title="Of the event",
                        description="The `ce_id` of an event.",
                        query='{ span.messaging.message.id = "$event_id" }',
                        width=12,
                    ),
                    TracesPanel(
                        title="Of the trace id",
                        description="As it stands in a log line or a dead letter.",
                        query='{ trace:id = "$trace_id" }',
                        width=12,
                    ),
                ),
            ),
            Row(
                "By what went wrong",
                (
                    TracesPanel(
                        title="Slow ones",
                        description="Traces in which something took longer than asked for above.",
                        query='{ resource.service.name =~ "$service" && trace:duration > '
                        "$slower_than }",
                        width=12,
                    ),
                    TracesPanel(
                        title="Failed ones",
                        description="Traces in which something failed technically. A business no "
                        "is no error.",
                        query='{ resource.service.name =~ "$service" && status = error }',
                        width=12,
                    ),
                    LogsPanel(
                        title="Logs of the trace",
                        description="What services logged while they worked on the trace id above.",
                        query='{service_name=~".+"} | trace_id = "$trace_id"',
                    ),
                ),
            ),
        ),
    )
