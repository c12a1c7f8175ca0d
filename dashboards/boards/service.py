"""How is one service: rate, errors, duration, and what it holds back?"""

from __future__ import annotations

from dashboards.model.board import Board, Row, SignalPanel, TracesPanel
from dashboards.model.labels import TOPIC
from dashboards.signals import dead_letters, flows, services


def service_board() -> Board:
    """Make the dashboard."""
    return Board(
        name="service",
        title="service",
        description="How is one service: rate, errors and duration of what it handles and sends?",
        variables=("service", "destination"),
        rows=(
            Row(
                "What it handles",
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
                "What it holds back",
                (
                    SignalPanel(kind="timeseries", signals=(services.OUTBOX,), width=8),
                    SignalPanel(kind="timeseries", signals=(services.OUTBOX_AGE,), width=8),
                    SignalPanel(
                        kind="counts",
                        signals=(dead_letters.SKIPPED,),
                        width=8,
                        drill_down="dead-letters",
                    ),
                    TracesPanel(
                        title="Recent traces of the service",
                        description="Those in which it handled or sent something, latest first.",
                        query='{ resource.service.name =~ "$service" && '
                        "(kind = consumer || kind = producer || kind = server) }",
                    ),
                ),
            ),
        ),
    )
