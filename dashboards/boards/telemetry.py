"""Can the telemetry itself be trusted?"""

from __future__ import annotations

from dashboards.model.board import Board, Row, SignalPanel
from dashboards.signals import instrumentation


def telemetry_board() -> Board:
    """Make the dashboard."""
    return Board(
        name="telemetry",
        title="telemetry health",
        description="Can the telemetry be trusted, and what does it cost?",
        variables=("service",),
        rows=(
            Row(
                "Can it be trusted?",
                (
                    SignalPanel(
                        kind="stat", signals=(instrumentation.REPORTING,), width=6, height=8
                    ),
                    SignalPanel(kind="counts", signals=(instrumentation.DROPPED,), width=18),
                    SignalPanel(kind="counts", signals=(instrumentation.INVALID,), width=12),
                    SignalPanel(kind="counts", signals=(instrumentation.SKEW,), width=12),
                ),
            ),
            Row(
                "What does it cost?",
                (
                    SignalPanel(kind="timeseries", signals=(instrumentation.COST,), width=12),
                    SignalPanel(kind="timeseries", signals=(instrumentation.SERIES,), width=12),
                ),
            ),
        ),
    )
