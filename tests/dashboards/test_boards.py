"""All dashboards: layout, texts, look and links."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.config import Config
from dashboards.model.board import Board, title_of
from dashboards.render.panels import SHARED
from tests.dashboards.board_documents import (
    BOARDS,
    CONFIG,
    board_panels,
    document,
    each_board,
    panels,
)


@each_board
def test_panels_neither_overlap_nor_leave_the_grid(board: Board) -> None:
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


@each_board
def test_every_panel_and_heading_has_an_id_of_its_own(board: Board) -> None:
    ids = [panel["id"] for panel in document(board)["panels"]]
    assert len(ids) == len(set(ids))
    assert all(number > 0 for number in ids)


@each_board
def test_every_query_goes_to_the_data_source_that_is_chosen_above(board: Board) -> None:
    dashboard = document(board)
    chosen = {
        f"${{{each['name']}}}": each["query"]
        for each in dashboard["templating"].get("list", ())
        if "datasource" == each["type"]
    }
    asked = [
        source["datasource"]
        for panel in dashboard["panels"]
        for source in (panel, *panel.get("targets", ()))
        if "datasource" in source
    ]
    assert all(source["type"] == chosen[source["uid"]] for source in asked)


@each_board
def test_titles_are_unique_so_that_links_find_one_panel(board: Board) -> None:
    titles = [title_of(panel) for _, panel in board.numbered()]
    assert sorted(set(titles)) == sorted(titles)


@each_board
def test_a_generated_dashboard_cannot_be_edited_by_accident(board: Board) -> None:
    dashboard = document(board)
    assert dashboard["editable"] is False
    assert "" != dashboard["uid"]
    assert {"pipeline-tracing", "pipeline"} == set(dashboard["tags"])


def test_the_stat_panels_of_the_overview_are_visible_without_scrolling() -> None:
    # Grafana's own bars leave about 900 of 1080 pixels; a grid row has 38.
    answers = [panel for panel in panels(BOARDS[0]) if panel["type"] == "stat"]
    assert 6 == len(answers)
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in answers) * 38 < 400


@each_board
def test_every_panel_has_a_title_and_a_description(board: Board) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
    assert board.description.endswith("?")


@each_board
def test_every_metrics_panel_has_a_unit_and_threshold_colours(board: Board) -> None:
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


def test_thresholds_and_value_mappings_have_the_right_colours() -> None:
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
    assert {
        "0": "ok",
        "1": "catching up",
        "2": "lagging",
        "3": "stalled",
        "4": "dead",
        "5": "abandoned",
        "6": "unknown",
    } == {value: mapping["text"] for value, mapping in status["options"].items()}


def test_never_does_not_flatten_the_times_to_catch_up_beside_it() -> None:
    graph = next(
        panel for board in BOARDS for panel in panels(board) if "Time to catch up" == panel["title"]
    )
    scale = graph["fieldConfig"]["defaults"]["custom"]["scaleDistribution"]
    assert {"type": "symlog", "log": 10, "linearThreshold": 60} == scale


def test_rows_of_panels_have_no_holes() -> None:
    for board in BOARDS:
        heights: dict[int, set[int]] = {}
        for panel in panels(board):
            heights.setdefault(panel["gridPos"].get("y", 0), set()).add(panel["gridPos"]["h"])
        assert all(len(each) == 1 for each in heights.values()), board.name


def test_bars_of_several_series_do_not_hide_each_other() -> None:
    for board in BOARDS:
        for panel in panels(board):
            style = panel.get("fieldConfig", {}).get("defaults", {}).get("custom", {})
            if "bars" == style.get("drawStyle"):
                assert "normal" == style["stacking"]["mode"], panel["title"]
                assert ["sum", "max"] == panel["options"]["legend"]["calcs"]


def test_panels_are_drawn_as_their_kind_requires() -> None:
    by_title = {panel["title"]: panel for board in BOARDS for panel in panels(board)}
    lag = by_title["End-to-end lag"]
    assert all(target["exemplar"] for target in lag["targets"])
    where = by_title["Mean time of flows that arrive"]
    assert "normal" == where["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"]
    flow = by_title["A mean flow, step by step"]
    assert ("barchart", "normal") == (flow["type"], flow["options"]["stacking"])
    renamed = flow["transformations"][1]["options"]["renameByName"]
    assert {f"Value #{target['refId']}" for target in flow["targets"]} == set(renamed)
    (hidden,) = flow["fieldConfig"]["overrides"]
    assert renamed["Value #A"] == hidden["matcher"]["options"]
    assert {"id": "custom.fillOpacity", "value": 0} in hidden["properties"]
    graph = by_title["Services and topics"]
    # The panel finds the field by this name, so it must be set in each query, not as a title.
    assert [("A", "mainstat"), ("B", "mainstat")] == [
        (step["filter"]["options"], step["options"]["alias"]) for step in graph["transformations"]
    ]
    for board in BOARDS:
        for panel in panels(board):
            for target in panel.get("targets", ()):
                if "expr" in target and "prometheus" == target["datasource"]["type"]:
                    assert CONFIG.min_step == target["interval"], panel["title"]


@pytest.mark.parametrize(
    ("min_step", "shown"),
    [("15s", "15s"), ("1m", "1m"), ("90s", "2m"), ("45s", "1m")],
)
def test_the_distance_of_points_is_one_that_grafana_writes_without_a_rest(
    min_step: str, shown: str
) -> None:
    # Grafana would write 90 s as a minute, and leave a third of all events out of each bar.
    targets = [
        target
        for panel in document(BOARDS[0], Config(min_step=min_step))["panels"]
        for target in panel.get("targets", ())
    ]
    assert {shown} == {target["interval"] for target in targets if "expr" in target}


def test_panels_of_a_chosen_pipeline_say_what_they_cannot_filter() -> None:
    shared = {
        title_of(panel): SHARED in described["description"]
        for board in BOARDS
        if "pipeline" in board.variables
        for (_, panel), described in zip(board.numbered(), panels(board), strict=True)
    }
    for title in ("Where flows are held up", "A mean flow, step by step", "Services and topics",
                  "Consumed", "Error budget left"):  # fmt: skip
        assert shared[title], title
    for title in ("End-to-end lag distribution", "Overdue sagas"):
        assert not shared[title], title
    assert not any(
        SHARED in panel["description"]
        for board in BOARDS
        if "pipeline" not in board.variables
        for panel in panels(board)
    )


@each_board
def test_grafanas_types_read_the_json_without_loss(board: Board) -> None:
    def without_menu(node: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in node.items() if value != "inControlsMenu"}

    generated = document(board)
    read = json.loads(
        JSONEncoder().encode(Dashboard.from_json(generated)), object_hook=without_menu
    )
    assert generated == read
    assert "inControlsMenu" not in json.dumps(generated)


def test_clicking_a_series_filters_the_linked_dashboard_by_it() -> None:
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
        "var-group=${__field.labels.messaging_consumer_group_name:percentencode}",
        "var-destination=${__field.labels.messaging_destination_name:percentencode}",
    } == set(query.split("&"))


def test_a_clicked_name_with_signs_of_addresses_stays_one_value() -> None:
    for board in BOARDS:
        for panel in panels(board):
            for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()):
                clicked = re.findall(r"\$\{__(?:field|data)[^}]*\}", link["url"])
                assert all(each.endswith(":percentencode}") for each in clicked), panel["title"]


def test_dashboards_about_groups_link_to_those_about_brokers_if_these_have_a_tag() -> None:
    linked = {
        board.name: link
        for board in BOARDS
        for link in document(board, Config(broker_tag="kafka-exporter"))["links"]
        if ["kafka-exporter"] == link["tags"]
    }
    assert {"overview", "lag", "dead-letters"} == set(linked)
    assert all(link["keepTime"] and link["type"] == "dashboards" for link in linked.values())
    assert all(1 == len(document(board)["links"]) for board in BOARDS)


def test_links_between_dashboards_have_a_target() -> None:
    names = {board.name for board in BOARDS}
    targets = {panel.drill_down for board in BOARDS for panel in board_panels(board)} - {""}
    assert targets <= names
    assert len(targets) >= 4


def test_uids_are_short_and_begin_with_the_prefix() -> None:
    uids = [document(board, Config(prefix="shop"))["uid"] for board in BOARDS]
    assert len(uids) == len(set(uids))
    assert all(uid.startswith("shop-") and len(uid) <= 40 for uid in uids)
