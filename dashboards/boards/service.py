"""Is one service healthy: rate, errors, duration and outbox?"""

from __future__ import annotations

from dashboards.model.board import CHOSEN_SERVICE, Board, Row, SignalPanel, TracesPanel
from dashboards.model.labels import TOPIC
from dashboards.signals import dead_letters, flows, schemas, services


def service_board() -> Board:
    """Make the dashboard."""
    return Board(
        name="service",
        title="service",
        description="Is this service healthy: rate, errors and duration of what it does?",
        variables=("service", "instance", "destination", "message_type"),
        rows=(
            Row(
                "What it processes",
                (
                    SignalPanel(
                        kind="timeseries",
                        signals=(flows.PROCESSED,),
                        width=8,
                        drill_down="lag",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="counts", signals=(flows.FAILED,), width=8, drill_down="dead-letters"
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(flows.PROCESSING_P95,),
                        width=8,
                        drill_down="lag",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(flows.RESOURCE_WAIT_P95,),
                        width=12,
                        drill_down="lag",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(kind="timeseries", signals=(flows.MESSAGE_SIZE,), width=12),
                ),
            ),
            Row(
                "How many processes, and how busy?",
                tuple(
                    SignalPanel(kind="timeseries", signals=(signal,), width=8)
                    for signal in (services.INSTANCES, services.VERSIONS, services.IN_HAND)
                ),
            ),
            Row(
                "Which types of messages?",
                tuple(
                    SignalPanel(kind="timeseries", signals=(signal,), width=8)
                    for signal in (
                        flows.PROCESSED_BY_TYPE,
                        flows.PROCESSING_P95_BY_TYPE,
                        flows.END_TO_END_BY_TYPE,
                    )
                ),
            ),
            Row(
                "What it sends",
                (
                    SignalPanel(
                        kind="timeseries",
                        signals=(services.PRODUCED,),
                        width=8,
                        drill_down="lag",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="counts",
                        signals=(services.CLIENT_ERRORS,),
                        width=8,
                        drill_down="traces",
                    ),
                    SignalPanel(kind="timeseries", signals=(services.CLIENT_P95,), width=8),
                ),
            ),
            Row(
                "Which schemas it writes and reads",
                (
                    SignalPanel(kind="timeseries", signals=(schemas.VERSIONS,), width=12),
                    SignalPanel(
                        kind="counts",
                        signals=(schemas.FAILURES,),
                        width=12,
                        drill_down="dead-letters",
                    ),
                ),
            ),
            Row(
                "What it delays or skips",
                (
                    SignalPanel(kind="timeseries", signals=(services.OUTBOX,), width=8),
                    SignalPanel(kind="timeseries", signals=(services.OUTBOX_AGE,), width=8),
                    SignalPanel(
                        kind="counts",
                        signals=(dead_letters.DUPLICATES_SKIPPED,),
                        width=8,
                        drill_down="dead-letters",
                    ),
                    TracesPanel(
                        title="Recent traces of the service",
                        description="Traces in which the service processed or sent a record, "
                        "latest first.",
                        query=f"{{ {CHOSEN_SERVICE} && "
                        "(kind = consumer || kind = producer || kind = server) }",
                    ),
                ),
            ),
        ),
    )
