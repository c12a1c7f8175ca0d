"""The rules of Grafana's dashboard-linter that no other test holds.

Titles, descriptions, units, data sources, ids and `editable` are in test_boards, the syntax of
queries and the first value of counters in test_promql. One rule is not for these dashboards: a
`job` and an `instance` variable that must be in every query, because groups and sagas outlive
processes.
"""

from __future__ import annotations

import re

from dashboards.model.board import Board
from tests.dashboards.board_documents import document, each_board, panels, promql

_WITHOUT_QUERIES = {"text", "row"}
_ON_TIME_RANGE_CHANGED = 2


@each_board
def test_every_panel_that_shows_data_has_queries(board: Board) -> None:
    without = [
        panel["title"]
        for panel in panels(board)
        if panel["type"] not in _WITHOUT_QUERIES and not panel.get("targets")
    ]
    assert [] == without


@each_board
def test_values_of_variables_are_those_of_the_time_range(board: Board) -> None:
    queried = [
        each for each in document(board)["templating"].get("list", ()) if "query" == each["type"]
    ]
    assert all(each["refresh"] == _ON_TIME_RANGE_CHANGED for each in queried)


@each_board
def test_every_variable_of_a_query_is_one_of_the_dashboard(board: Board) -> None:
    own = {each["name"] for each in document(board)["templating"].get("list", ())}
    used = {name for query in promql(board) for name in re.findall(r"\$\{?([a-z_]\w*)", query)}
    assert set() == {name for name in used if not name.startswith("__")} - own


@each_board
def test_rates_of_graphs_have_the_window_that_grafana_computes(board: Board) -> None:
    # A fixed window is shorter than an export interval, or hides what happens in it.
    graphs = [panel for panel in panels(board) if "timeseries" == panel["type"]]
    windows = {
        window
        for panel in graphs
        for target in panel["targets"]
        for window in re.findall(r"\b(?:rate|increase)\([^\[\]]*\[([^\]]+)\]", target["expr"])
    }
    assert windows <= {"$__rate_interval", "$__interval", "$__range", "$interval"}
