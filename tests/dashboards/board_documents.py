"""The dashboards as the JSON that Grafana loads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from dashboards.model.board import Board, SignalPanel
from dashboards.render.dashboard import dashboard_json

CONFIG = Config()
BOARDS = make_boards(CONFIG)
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)


def document(board: Board, config: Config = CONFIG) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(dashboard_json(board, config))
    return loaded


def panels(board: Board) -> list[dict[str, Any]]:
    return [panel for panel in document(board)["panels"] if panel["type"] != "row"]


def promql(board: Board, config: Config = CONFIG) -> list[str]:
    """Return all PromQL queries of a dashboard, of its panels and annotations."""
    dashboard = document(board, config)
    annotations = dashboard["annotations"].get("list", ())
    return [each["expr"] for each in annotations if "expr" in each] + [
        target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        if target["datasource"]["type"] == "prometheus"
    ]


def board_panels(board: Board) -> list[SignalPanel]:
    return [panel for row in board.rows for panel in row.panels if isinstance(panel, SignalPanel)]
