"""All dashboards, in the order of their list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.boards.between import between_board
from dashboards.boards.consumer_lag import consumer_lag_board
from dashboards.boards.dead_letters import dead_letters_board
from dashboards.boards.overview import overview_board
from dashboards.boards.own import with_own
from dashboards.boards.runbook import runbook_board
from dashboards.boards.saga_health import saga_health_board
from dashboards.boards.service import service_board
from dashboards.boards.telemetry import telemetry_board
from dashboards.boards.trace_finder import trace_finder_board

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.board import Board


def make_boards(config: Config) -> tuple[Board, ...]:
    """Make all dashboards, with what the user adds.

    Raises:
        ConfigError: What the user adds does not fit.
    """
    boards = (
        overview_board(config),
        between_board(),
        consumer_lag_board(),
        dead_letters_board(),
        saga_health_board(),
        service_board(),
        trace_finder_board(),
        telemetry_board(),
        runbook_board(config),
    )
    return with_own(boards, config)
