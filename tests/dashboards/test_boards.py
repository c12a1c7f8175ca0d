"""All dashboards: layout, words, how things are drawn, and where one gets from there."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.config import Config
from dashboards.model.board import Board
from tests.dashboards.board_documents import (
    BOARDS,
    CONFIG,
    board_panels,
    document,
    each_board,
    panels,
)


@each_board
def test_panels_neither_overlap_nor_stick_out(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in document(board)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place.get("x", 0), place.get("x", 0) + place["w"])
            for y in range(place.get("y", 0), place.get("y", 0) + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_answers_of_the_overview_need_no_scrolling() -> None:
    # Of 1080 pixels Grafana's own bars leave some 900; a grid row has 38.
    answers = [panel for panel in panels(BOARDS[0]) if panel["type"] == "stat"]
    assert 6 == len(answers)
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in answers) * 38 < 400


@each_board
def test_every_panel_says_what_it_means(board: Board) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
    assert board.description.endswith("?")


@each_board
def test_figures_have_units_and_thresholds_have_colours(board: Board) -> None:
    for panel in panels(board):
        if panel.get("datasource", {}).get("type") == "prometheus":
            defaults = panel["fieldConfig"]["defaults"]
            properties = [
                each["id"] for over in panel["fieldConfig"]["overrides"]
                for each in over["properties"]
            ]  # fmt: skip
            assert (
                "unit" in defaults
                or ("table" == panel["type"] and "unit" in properties)
                or panel["options"]["yAxis"]["unit"]
            )
            assert defaults["thresholds"]["steps"][0]["value"] is None


def test_thresholds_and_meanings_have_their_colours() -> None:
    by_title = {panel["title"]: panel for board in BOARDS for panel in panels(board)}
    budget = by_title["Error budget left"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(None, "red"), (0, "orange"), (0.25, "green")] == [
        (step["value"], step["color"]) for step in budget
    ]
    overdue = by_title["Overdue sagas"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(None, "green"), (1, "orange"), (10, "red")] == [
        (step["value"], step["color"]) for step in overdue
    ]
    (status,) = by_title["Group status"]["fieldConfig"]["defaults"]["mappings"]
    assert {"0": "ok", "1": "lagging", "2": "stalled", "3": "dead"} == {
        value: found["text"] for value, found in status["options"].items()
    }


def test_nothing_known_is_not_shown_as_nothing_wrong() -> None:
    for board in BOARDS:
        for panel in panels(board):
            if "stat" == panel["type"]:
                assert "no data" == panel["fieldConfig"]["defaults"]["noValue"]


def test_what_is_drawn_how() -> None:
    by_title = {panel["title"]: panel for board in BOARDS for panel in panels(board)}
    lag = by_title["End-to-end lag"]
    assert all(target["exemplar"] for target in lag["targets"])
    where = by_title["Mean time by hop: publish, wait, processing and retry"]
    assert "normal" == where["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"]
    graph = by_title["Services and topics"]
    # Of this name and no other title: the panel looks for the field itself, in each query alone.
    assert [("A", "mainstat"), ("B", "mainstat")] == [
        (step["filter"]["options"], step["options"]["alias"]) for step in graph["transformations"]
    ]
    for board in BOARDS:
        for panel in panels(board):
            for target in panel.get("targets", ()):
                if "expr" in target and "prometheus" == target["datasource"]["type"]:
                    assert CONFIG.min_step == target["interval"], panel["title"]


@each_board
def test_what_is_written_is_what_grafanas_types_read(board: Board) -> None:
    def in_sight(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if value != "inControlsMenu"}

    written = document(board)
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(written)), object_hook=in_sight)
    assert written == read
    assert "inControlsMenu" not in json.dumps(written)


def test_clicking_a_series_narrows_the_other_dashboard_to_it() -> None:
    panel = next(
        panel for panel in panels(BOARDS[0]) if "End-to-end lag p95 by hop" == panel["title"]
    )
    (link,) = panel["fieldConfig"]["defaults"]["links"]
    assert "Open lag" == link["title"]
    path, _, query = link["url"].partition("?")
    assert "/d/pipeline-lag" == path
    assert {
        "${__url_time_range}",
        "${prometheus:queryparam}",
        "${pipeline:queryparam}",
        "${service:queryparam}",
        "${saga:queryparam}",
        "var-group=${__field.labels.messaging_consumer_group_name}",
        "var-destination=${__field.labels.messaging_destination_name}",
    } == set(query.split("&"))


def test_links_between_dashboards_lead_somewhere() -> None:
    names = {board.name for board in BOARDS}
    found = {panel.drill_down for board in BOARDS for panel in board_panels(board)} - {""}
    assert found <= names
    assert len(found) >= 4


def test_uids_are_short_and_follow_the_prefix() -> None:
    uids = [document(board, Config(prefix="shop"))["uid"] for board in BOARDS]
    assert len(uids) == len(set(uids))
    assert all(uid.startswith("shop-") and len(uid) <= 40 for uid in uids)
