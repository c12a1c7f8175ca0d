"""Are the sagas healthy, and which step delays them?"""

from __future__ import annotations

from dashboards.model.board import Board, Row, SignalPanel, TracesPanel
from dashboards.model.promql import INTERVAL
from dashboards.signals import sagas


def saga_health_board() -> Board:
    """Make the dashboard."""
    return Board(
        name="sagas",
        title="saga health",
        description="Are the sagas of each name healthy, and which step delays them?",
        variables=("pipeline", "saga"),
        rows=(
            Row(
                "Are they healthy?",
                (
                    SignalPanel(kind="stat", signals=(sagas.OVERDUE,), width=6, height=6),
                    SignalPanel(kind="stat", signals=(sagas.OLDEST,), width=6, height=6),
                    SignalPanel(
                        kind="stat", signals=(sagas.FAILED,), width=6, height=6, over=INTERVAL
                    ),
                    SignalPanel(
                        kind="stat",
                        signals=(sagas.COMPENSATION_RATE,),
                        width=6,
                        height=6,
                        over=INTERVAL,
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(sagas.STARTED, sagas.ENDED),
                        width=12,
                        title="Sagas started and ended",
                        drill_down="traces",
                    ),
                    SignalPanel(kind="stacked", signals=(sagas.ACTIVE,), width=12),
                ),
            ),
            Row(
                "What delays them?",
                (
                    SignalPanel(kind="timeseries", signals=(sagas.OLDEST_IN_STATES,), width=24),
                    SignalPanel(
                        kind="timeseries",
                        signals=tuple(sagas.duration(share) for share in (0.5, 0.95, 0.99)),
                        width=12,
                        title="Duration by outcome",
                        drill_down="traces",
                    ),
                    SignalPanel(kind="timeseries", signals=(sagas.STEP_P95,), width=12),
                    SignalPanel(kind="funnel", signals=(sagas.FUNNEL,), width=12, over=INTERVAL),
                    SignalPanel(kind="timeseries", signals=(sagas.COMPENSATIONS,), width=12),
                    TracesPanel(
                        title="Sagas that failed",
                        description="Their compensation could not finish. Each needs manual "
                        "repair.",
                        query='{ span.pipeline.saga.outcome = "failed" && '
                        "span.pipeline.saga.name =~ `${saga:regex}` }",
                    ),
                ),
            ),
        ),
    )
