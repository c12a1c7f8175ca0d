"""What comes with an alert: how urgent it is, and where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.boards.all_boards import make_boards
from dashboards.boards.runbook import RUNBOOK, runbook_sections
from dashboards.model.labels import VARIABLE_OF

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.board import Board
    from dashboards.model.rule import Alert


def labels_of(alert: Alert, config: Config) -> dict[str, str]:
    """Labels by which alerts are sent on; the severity is the alert's own."""
    return {**config.labels, "severity": alert.severity}


def notes_of(alert: Alert, config: Config, value: str = "$value") -> dict[str, str]:
    """What people read, with links to the dashboard and the runbook.

    Args:
        alert: Which one.
        config: Where Grafana and the runbook are.
        value: How the template of whoever evaluates it calls the value.
    """
    return {
        "summary": alert.summary,
        "description": alert.description.replace("$value", value),
        "dashboard_url": _dashboard_url(alert, config),
        "runbook_url": _runbook_url(alert, config),
    }


def board_of(alert: Alert, config: Config) -> Board:
    """The dashboard on which to look."""
    return next(board for board in make_boards(config) if board.name == alert.board)


def _dashboard_url(alert: Alert, config: Config) -> str:
    variables = board_of(alert, config).variables
    chosen = [
        f"var-{VARIABLE_OF[label]}={{{{ $labels.{label} | urlquery }}}}"
        for label in alert.labels
        if VARIABLE_OF.get(label) in variables
    ]
    url = f"{config.grafana_url}/d/{config.prefix}-{alert.board}"
    return "?".join([url, "&".join(chosen)]) if chosen else url


def _runbook_url(alert: Alert, config: Config) -> str:
    """Return the runbook's section in the configured runbook, or else on the dashboard."""
    if config.runbook_url:
        return f"{config.runbook_url}#{alert.name.lower()}"
    panel = list(runbook_sections()).index(alert.name) + 1
    return f"{config.grafana_url}/d/{config.prefix}-{RUNBOOK}?viewPanel={panel}"
