"""All dashboards, in the order in which people meet them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.boards.consumer_lag import consumer_lag
from dashboards.boards.dead_letters import dead_letters
from dashboards.boards.overview import overview
from dashboards.boards.runbook import runbook
from dashboards.boards.saga_health import saga_health
from dashboards.boards.service import service
from dashboards.boards.telemetry import telemetry
from dashboards.boards.trace_finder import trace_finder

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.board import Board


def all_boards(config: Config) -> tuple[Board, ...]:
    """Make them."""
    return (
        overview(config),
        consumer_lag(),
        dead_letters(),
        saga_health(),
        service(),
        trace_finder(),
        telemetry(),
        runbook(),
    )
