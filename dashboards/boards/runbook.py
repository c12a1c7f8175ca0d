"""The runbook as a dashboard, so that it is one click away from an alert."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dashboards.model.board import Board, Row, TextPanel

if TYPE_CHECKING:
    from dashboards.config import Config

RUNBOOK: Final = "runbook"
"""The name of the dashboard."""
_FILE: Final = Path(__file__).parents[1] / "runbook.md"


def runbook_sections(config: Config) -> dict[str, str]:
    """Return the Markdown of each alert's section by the alert's name, in the runbook's order."""
    return _sections() | {alert.name: alert.runbook.strip() for alert in config.own.alerts}


@cache
def _sections() -> dict[str, str]:
    _, *sections = re.split(r"^## ", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    titled = (section.partition("\n") for section in sections)
    return {alert.strip(): text.strip() for alert, _, text in titled}


def runbook_board(config: Config) -> Board:
    """Make the dashboard."""
    return Board(
        name=RUNBOOK,
        title="runbook",
        description="What does each alert mean, what is its cause, and what fixes it?",
        variables=(),
        rows=(
            Row(
                "What to do",
                tuple(
                    TextPanel(
                        title=alert,
                        description="What the alert means, how to find the cause, and how to fix "
                        "it.",
                        content=text,
                        width=12,
                        height=11,
                    )
                    for alert, text in runbook_sections(config).items()
                ),
            ),
        ),
    )
