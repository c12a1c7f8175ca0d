"""The dashboards as Grafana gets them, for tests to look at."""

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
    found: dict[str, Any] = json.loads(dashboard_json(board, config))
    return found


def panels(board: Board) -> list[dict[str, Any]]:
    return [panel for panel in document(board)["panels"] if panel["type"] != "row"]


def promql(board: Board) -> list[str]:
    """All queries of metrics: of panels, and of the marks on them."""
    marks = document(board)["annotations"].get("list", ())
    return [mark["expr"] for mark in marks if "expr" in mark] + [
        target["expr"]
        for panel in panels(board)
        for target in panel.get("targets", ())
        if target["datasource"]["type"] == "prometheus"
    ]


def board_panels(board: Board) -> list[SignalPanel]:
    return [panel for row in board.rows for panel in row.panels if isinstance(panel, SignalPanel)]
