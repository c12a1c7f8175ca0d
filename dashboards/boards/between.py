"""How long do flows take between two points?"""

from __future__ import annotations

from dashboards.model.board import Board, Box, Row, SignalPanel
from dashboards.model.labels import TOPIC
from dashboards.signals import between


def between_board() -> Board:
    """Make the dashboard."""
    return Board(
        name="between",
        title="between two points",
        description="How long do flows take from one topic to another?",
        variables=("pipeline",),
        boxes=(
            Box(name=between.FROM, label="From topic", values_of=TOPIC),
            Box(name=between.TO, label="To topic", values_of=TOPIC),
        ),
        rows=(
            Row(
                "How long does it take?",
                (
                    SignalPanel(
                        kind="timeseries",
                        signals=(between.BETWEEN,),
                        width=24,
                        drill_down="overview",
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=between.AGES,
                        width=12,
                        title="Mean age of flows at both points",
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=between.FLOWS,
                        width=12,
                        title="Flows at both points",
                    ),
                ),
            ),
        ),
    )
