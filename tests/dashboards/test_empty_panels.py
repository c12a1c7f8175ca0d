"""An empty panel says whether there is nothing to show or nothing reports: all panels of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from dashboards.model.board import Board, SignalPanel, title_of
from dashboards.model.signal import NO_MONITOR, NO_SAGAS, NO_SERVICE
from dashboards.render.panels import expressions_of
from tests.dashboards.board_documents import CONFIG, document
from tests.dashboards.promtool import check_queries

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = [
    (board, panel)
    for board in make_boards(CONFIG)
    for _, panel in board.numbered()
    if isinstance(panel, SignalPanel)
]
# What every service reports from its start, and the lag monitor of a group without lag.
IDLE = {
    'pipeline_telemetry_dropped_total{job="s", instance="a", reason="queue"}': "0x200",
    'pipeline_consumer_status{job="m", instance="b", messaging_consumer_group_name="g", '
    'status="ok"}': "1x200",
    'pipeline_consumer_cause{job="m", instance="b", messaging_consumer_group_name="g", '
    'cause="no_members"}': "0x200",
}
# These have a result whenever what they are about is reported at all; then, a text is enough.
ALWAYS = {
    # From the databases of services: without a result, they may be unreadable.
    "Active sagas by state": NO_SAGAS,
    "Age of the oldest active saga": NO_SAGAS,
    "Age of read models": "no service reports read models",
    "Failed sagas": NO_SAGAS,
    "Longest wait in each state": NO_SAGAS,
    "Oldest message in the outbox": "no service reports an outbox",
    "Overdue sagas": NO_SAGAS,
    "Pending in the outbox": "no service reports an outbox",
    # From the lag monitor, for each group and for the cluster.
    "Brokers": NO_MONITOR,
    "Brokers answer": NO_MONITOR,
    "Group status": NO_MONITOR,
    "Lag in records": NO_MONITOR,
    "Lag in seconds": NO_MONITOR,
    "Offline partitions": NO_MONITOR,
    "Top 10 partitions by lag in records": NO_MONITOR,
    "Top 10 partitions by lag in seconds": NO_MONITOR,
    "Under-replicated partitions": NO_MONITOR,
    # A distribution, rows of a flow and a map have no series for nothing, and the map has no text.
    "End-to-end lag distribution": "nothing has arrived, or no service reports",
    "Retry depth": "no record needed a second attempt, or no service reports",
    "A mean flow, step by step": "nothing has arrived, or no service reports",
    "Services and topics": None,
}
PANELS = [
    pytest.param(board, panel, id=f"{board.name}: {title_of(panel)}") for board, panel in SHOWN
]


def _text_of(board: Board, title: str, config: Config = CONFIG) -> Any:
    panels = document(board, config)["panels"]
    (panel,) = (each for each in panels if title == each["title"])
    return panel["fieldConfig"]["defaults"].get("noValue") if "fieldConfig" in panel else None


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_while_services_and_the_lag_monitor_are_idle_no_panel_is_empty(
    binaries: Path, tmp_path: Path
) -> None:
    queries = [
        f"group({expressions_of(panel, board, CONFIG)[0]})"
        for board, panel in SHOWN
        if title_of(panel) not in ALWAYS
    ]
    assert len(queries) > 50
    check_queries([(query, 1.0) for query in queries], IDLE, binaries, tmp_path)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_when_nothing_reports_every_panel_is_empty(binaries: Path, tmp_path: Path) -> None:
    queries = [query for board, panel in SHOWN for query in expressions_of(panel, board, CONFIG)]
    ended = dict.fromkeys(IDLE, "0x20 _x180")
    check_queries([(query, None) for query in queries], ended, binaries, tmp_path)


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_an_empty_panel_names_what_does_not_report(board: Board, panel: SignalPanel) -> None:
    title = title_of(panel)
    wanted = (ALWAYS[title],) if title in ALWAYS else (NO_SERVICE, NO_MONITOR)
    assert _text_of(board, title) in wanted
    without_none = panel.signals[0].reporter is None or panel.kind in {
        "graph",
        "heatmap",
        "waterfall",
    }
    assert (title in ALWAYS) == without_none


def test_the_series_for_nothing_is_named_none() -> None:
    for board, panel in SHOWN:
        first = panel.signals[0]
        if first.reporter is not None and "{{" in first.legend and panel.kind == "timeseries":
            names = {
                each["matcher"]["options"]: each["properties"]
                for shown in document(board)["panels"]
                if title_of(panel) == shown["title"]
                for each in shown["fieldConfig"]["overrides"]
            }
            (name,) = names
            assert "none" in name
            assert [{"id": "displayName", "value": "none"}] == names[name]
