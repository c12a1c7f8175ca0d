"""Labels and annotations of alerts: the severity, the texts, and links to dashboard and runbook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.boards.all_boards import make_boards
from dashboards.boards.runbook import RUNBOOK, runbook_sections
from dashboards.model.board import title_of
from dashboards.model.labels import VARIABLE_OF

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.board import Board
    from dashboards.model.rule import Alert

_PROMETHEUS: Final = "$value"
BESIDE: Final = "C"
"""Grafana's name of the second query of an alert."""


def labels_of(alert: Alert, config: Config) -> dict[str, str]:
    """Return the labels that Alertmanager routes by, and that keep configurations apart."""
    return {**config.selector, **config.labels, "severity": alert.severity}


def shared_labels(config: Config) -> list[str]:
    """Return the labels that all alerts of a configuration have with the same values."""
    return list({**config.selector, **config.labels})


def annotations_of(alert: Alert, config: Config, value: str = _PROMETHEUS) -> dict[str, str]:
    """Return an alert's texts, with links to its dashboard and its runbook section.

    Args:
        alert: The alert.
        config: The addresses of Grafana and of the runbook.
        value: The template expression for the value, which Grafana names differently.
    """
    description = alert.description.replace(_PROMETHEUS, value)
    if value == _PROMETHEUS:
        description += alert.found
    elif alert.beside is not None:
        description += alert.beside.sentence(BESIDE)
    return {
        "summary": alert.summary.replace(_PROMETHEUS, value),
        "description": description,
        "dashboard_url": _dashboard_url(alert, config),
        "runbook_url": _runbook_url(alert, config),
    }


def board_of(alert: Alert, config: Config) -> Board:
    """Return the dashboard that an alert links to."""
    return next(board for board in make_boards(config) if board.name == alert.board)


def panel_of(alert: Alert, config: Config) -> int:
    """Return the number of the panel that an alert links to."""
    return next(
        number
        for number, panel in board_of(alert, config).numbered()
        if title_of(panel) == alert.panel
    )


def _dashboard_url(alert: Alert, config: Config) -> str:
    variables = board_of(alert, config).variables
    chosen = [
        f"var-{VARIABLE_OF[label]}={{{{ $labels.{label} | urlquery }}}}"
        for label in alert.labels
        if VARIABLE_OF.get(label) in variables
    ]
    shown = f"from=now-{alert.over}&to=now"
    opened = "&".join([f"viewPanel={panel_of(alert, config)}", shown, *chosen])
    return f"{config.grafana_url}/d/{config.prefix}-{alert.board}?{opened}"


def _runbook_url(alert: Alert, config: Config) -> str:
    """Link to the configured runbook, or else to the dashboard with the runbook."""
    if config.runbook_url:
        return f"{config.runbook_url}#{alert.name.lower()}"
    panel = list(runbook_sections(config)).index(alert.name) + 1
    return f"{config.grafana_url}/d/{config.prefix}-{RUNBOOK}?viewPanel={panel}"
