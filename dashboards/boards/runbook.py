"""What should one do about an alert? The runbook, where those who are woken look anyway."""

from __future__ import annotations

from dashboards.model import runbook as text
from dashboards.model.board import Board, Row, TextPanel


def runbook() -> Board:
    """Make the dashboard."""
    return Board(
        name=text.BOARD,
        title="runbook",
        description="What does an alert mean, where does one look first, and what mends it?",
        variables=(),
        rows=(
            Row(
                "What to do",
                tuple(
                    TextPanel(
                        title=alert,
                        description="What it means, where to look first, and what mends it.",
                        content=content,
                        width=12,
                        height=11,
                    )
                    for alert, content in text.sections().items()
                ),
            ),
        ),
    )
