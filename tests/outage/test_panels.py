from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.boards.all_boards import make_boards
from dashboards.model.board import SignalPanel
from demo_pipeline.services import SERVICES
from tests.outage.broker_truth import Broker
from tests.outage.figures import all_figures
from tests.outage.graphs import CONFIG, Graphs
from tests.outage.panels import NOT_COMPARED, left_out
from tests.outage.span_truth import SpanTruth

if TYPE_CHECKING:
    from pathlib import Path

_TABLES = """
CREATE TABLE outbox (sequence);
CREATE TABLE saga_instances (saga, saga_id, started_ns, deadline_ns, ended_ns, outcome);
CREATE TABLE saga_steps (saga, saga_id, step, compensation, started_ns, ended_ns, outcome);
"""


class EmptyServer:
    """A Prometheus without data."""

    def query(self, _promql: str, _at_s: float) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def compared(tmp_path: Path) -> set[str]:
    """The titles of the signals that a run compares."""
    for service in SERVICES:
        with closing(sqlite3.connect(tmp_path / f"{service}.sqlite3")) as database:
            database.executescript(_TABLES)
    graphs = Graphs(EmptyServer(), 60)  # type: ignore[arg-type]  # all that is called
    nothing = Broker(ends={}, committed={}, reasons={}, oldest_ms={}, brokers=1)
    all_figures(graphs, nothing, SpanTruth(), tmp_path, ())
    return graphs.compared


def test_a_run_compares_each_panel_or_has_a_reason_not_to(compared: set[str]) -> None:
    assert [] == [panel for panel, why in left_out(compared).items() if "was forgotten" in why]


def test_a_panel_that_is_not_compared_is_found(compared: set[str]) -> None:
    forgotten = left_out(compared - {"Lag in seconds"})

    assert "'Lag in seconds' was forgotten" == forgotten["lag: Lag in seconds"]


def test_each_reason_is_of_a_panel_that_is_not_compared(compared: set[str]) -> None:
    titles = {
        signal.title
        for board in make_boards(CONFIG)
        for _, panel in board.numbered()
        if isinstance(panel, SignalPanel)
        for signal in panel.signals
    }

    assert NOT_COMPARED.keys() <= titles - compared
