"""The gallery asks Prometheus what Grafana would ask it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.dashboards.board_documents import BOARDS, document
from tests.gallery.picture import BOARDS as PICTURED
from tests.gallery.picture import readme_picture
from tests.gallery.queries import Asking, TimeRange

SHOWN = TimeRange(1_000_000.0, 1_000_900.0)


def _asked(board: dict[str, Any]) -> tuple[dict[str, Any], list[httpx.QueryParams]]:
    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/values"):
            return httpx.Response(200, json={"status": "success", "data": ["b", "a"]})
        asked.append(request.url.params)
        return httpx.Response(200, json={"status": "success", "data": {"result": []}})

    with httpx.Client(base_url="http://shop", transport=httpx.MockTransport(answer)) as client:
        return Asking(client, SHOWN).board(board), asked


def _board(*targets: dict[str, Any], variables: list[dict[str, Any]]) -> dict[str, Any]:
    panel = {
        "id": 7, "type": "timeseries", "title": "Sent", "gridPos": {"w": 12, "h": 8},
        "datasource": {"type": "prometheus"}, "targets": list(targets),
    }  # fmt: skip
    return {"panels": [panel], "templating": {"list": variables}, "annotations": {}}


def test_variables_and_windows_are_filled_in_as_grafana_does() -> None:
    board = _board(
        {"refId": "A", "interval": "15s",
         "expr": 'rate(a{job=~"$service", topic="$to"}[$__rate_interval]) / b[$interval]'},
        variables=[
            {"name": "service", "type": "query", "includeAll": True, "allValue": ".*"},
            {"name": "to", "type": "query", "query": "label_values(a, topic)"},
            {"name": "interval", "type": "custom", "current": {"value": "1h"}},
        ],
    )  # fmt: skip
    answered, asked = _asked(board)
    assert ['rate(a{job=~".*", topic="a"}[60s]) / b[1h]'] == [each["query"] for each in asked]
    assert ("15", "999990.0") == (asked[0]["step"], asked[0]["start"])
    assert 15_000 == answered["answers"]["7"][0]["stepMs"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_no_variable_of_a_dashboard_stays_in_its_queries(board: Any) -> None:
    _, asked = _asked(document(board))
    assert [] == [each["query"] for each in asked if "$" in each["query"].replace("$1", "")
                  .replace("$2", "")]  # fmt: skip


def test_the_picture_has_panels_that_the_dashboards_have() -> None:
    shown = {board.name: _asked(document(board))[0] for board in BOARDS if board.name in PICTURED}
    picture = readme_picture(shown)
    assert all(str(panel["id"]) in picture["answers"] for panel in picture["dashboard"]["panels"])
