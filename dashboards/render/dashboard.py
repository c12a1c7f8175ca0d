"""A dashboard: its variables, its links to the others, its rows of panels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkPlacement,
    DashboardLinkType,
)

from dashboards.render.layout import placed
from dashboards.render.marks import marks
from dashboards.render.panels import panel_of
from dashboards.render.variables import variables_of

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.board import Board

_TAG = "pipeline-tracing"


def dashboard_json(board: Board, config: Config) -> str:
    """Write a dashboard as JSON: sorted, stable, with a newline at its end."""
    built = _dashboard(board, config).build()
    encoded = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(built)
    # Once more, because the encoder alone leaves the order of what it nests to itself.
    found = json.loads(encoded, object_hook=_in_sight)
    return json.dumps(found, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def uid_of(name: str, config: Config) -> str:
    """The uid of a dashboard."""
    return f"{config.prefix}-{name}"


def _in_sight(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the SDK always writes: it would put links and marks into a menu."""
    if found.get("placement") == DashboardLinkPlacement.IN_CONTROLS_MENU:
        del found["placement"]
    return found


def _dashboard(board: Board, config: Config) -> Dashboard:
    made = (
        Dashboard(f"{config.title}: {board.title}")
        .uid(uid_of(board.name, config))
        .description(board.description)
        .tags([_TAG, config.prefix])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .link(
            DashboardLink("All dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([config.prefix])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in variables_of(board, config):
        made.with_variable(variable)
    for mark in marks(board, config):
        made.annotation(mark)
    numbers = {id(panel): number for number, panel in board.numbered()}
    for row, heading, places in placed(board.rows):
        made.with_row(Row(row.title).grid_pos(heading))
        for panel, place in zip(row.panels, places, strict=True):
            made.with_panel(panel_of(panel, board, config, place).id(numbers[id(panel)]))
    return made
