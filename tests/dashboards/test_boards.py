"""All dashboards: layout, words, and what they ask for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board, SignalPanel
from dashboards.boards.all_boards import all_boards
from dashboards.config import Config
from dashboards.labels import VARIABLE_OF
from dashboards.render.dashboard import dashboard_json
from tracing.catalog import METRICS

CONFIG = Config()
BOARDS = all_boards(CONFIG)
# Of Prometheus itself, of the resource, and those that the node graph makes.
OTHER_LABELS = {"le", "job", "id", "source", "target", "title"}
NO_LABELS = {
    "by", "rate", "increase", "sum", "max", "count", "topk", "histogram_quantile", "label_replace",
    "label_join", "on", "offset", "or", "and", "absent", "deriv", "__name__",
}  # fmt: skip

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)


def document(board: Board, config: Config = CONFIG) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dashboard_json(board, config))
    return found


def panels(board: Board) -> list[dict[str, Any]]:
    return [panel for panel in document(board)["panels"] if panel["type"] != "row"]


def promql(board: Board) -> list[str]:
    return [
        target["expr"]
        for panel in panels(board)
        for target in panel.get("targets", ())
        if target["datasource"]["type"] == "prometheus"
    ]


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
        if panel["type"] not in {"text", "logs"} and panel["datasource"]["type"] == "prometheus":
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["unit"]
            assert defaults["thresholds"]["steps"][0]["value"] is None


@each_board
def test_queries_use_the_catalogues_metrics_and_labels_alone(board: Board) -> None:
    known = {metric.prometheus: set(metric.prometheus_labels) for metric in METRICS}
    labels = OTHER_LABELS.union(*known.values())
    for query in promql(board):
        bare = re.sub(r'"[^"]*"', "", query)
        bare = re.sub(r"\[[^]]*\]", "", bare).replace("$__rate_interval", "")
        bare = re.sub(r"offset \$\w+", "", bare)
        words = set(re.findall(r"[a-z_][a-z0-9_]*", bare)) - NO_LABELS
        for word in words:
            name = re.sub(r"_(bucket|sum|count)$", "", word)
            assert name in known or word in labels, f"{word} in {query}"
        for metric, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", query):
            name = re.sub(r"_(bucket|sum|count)$", "", metric)
            chosen = set(re.findall(r"([a-z_]+)[=!]~?\"", matchers))
            assert chosen <= known.get(name, known.get(metric, set())) | {"le", "job"}, query


@each_board
def test_rates_look_at_the_interval_that_grafana_advises(board: Board) -> None:
    for panel in board_panels(board):
        for query in queries_of(board, panel):
            for window in re.findall(r"rate\([^[]*\[([^]]*)\]", query):
                assert window in {"$__rate_interval", panel.over}


def board_panels(board: Board) -> list[SignalPanel]:
    return [panel for row in board.rows for panel in row.panels if isinstance(panel, SignalPanel)]


def queries_of(board: Board, panel: SignalPanel) -> list[str]:
    from dashboards.render.panels import scope_of  # noqa: PLC0415 - only here

    return [signal.expr(scope_of(panel, board, CONFIG)) for signal in panel.signals]


@each_board
def test_every_metric_is_chosen_by_the_variables_that_it_has(board: Board) -> None:
    known = {metric.prometheus: set(metric.prometheus_labels) for metric in METRICS}
    for query in promql(board):
        for metric, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", query):
            name = metric if metric in known else re.sub(r"_(bucket|sum|count)$", "", metric)
            for label, variable in VARIABLE_OF.items():
                if variable in board.variables and (label == "job" or label in known[name]):
                    assert f'{label}=~"${variable}"' in matchers, query


@each_board
def test_a_load_of_the_dashboard_asks_few_questions(board: Board) -> None:
    found = document(board)
    asked = sum(len(panel.get("targets", ())) for panel in panels(board))
    asked += sum(variable["type"] == "query" for variable in found["templating"]["list"])
    asked += len(found.get("annotations", {}).get("list", ()))
    # However many services and topics there are: no panel and no row is repeated for each.
    assert asked < 40
    assert not any(panel.get("repeat") for panel in found["panels"])


@each_board
def test_what_is_written_is_what_grafanas_types_read(board: Board) -> None:
    written = document(board)
    read = Dashboard.from_json(written)
    assert written == json.loads(JSONEncoder().encode(read))


def test_with_recording_rules_lag_is_asked_of_them() -> None:
    lag = next(board for board in BOARDS if board.name == "lag")
    asked = [
        target["expr"]
        for panel in document(lag, Config(recording_rules=True))["panels"]
        for target in panel.get("targets", ())
    ]
    chosen = '{messaging_consumer_group_name=~"$group", messaging_destination_name=~"$destination"}'
    assert f"group_topic:pipeline_consumer_lag:sum{chosen}" in asked
    assert f"group_topic:pipeline_consumer_lag_time_seconds:max{chosen}" in asked


def test_links_between_dashboards_lead_somewhere() -> None:
    names = {board.name for board in BOARDS}
    found = {panel.drill_down for board in BOARDS for panel in board_panels(board)} - {""}
    assert found <= names
    assert len(found) >= 4


def test_uids_are_short_and_follow_the_prefix() -> None:
    uids = [document(board, Config(prefix="shop"))["uid"] for board in BOARDS]
    assert len(uids) == len(set(uids))
    assert all(uid.startswith("shop-") and len(uid) <= 40 for uid in uids)


def test_a_selector_is_in_every_query() -> None:
    config = Config(selector='cluster="eu"')
    for board in BOARDS:
        for panel in document(board, config)["panels"]:
            for target in panel.get("targets", ()):
                for matchers in re.findall(r"\{([^}]*)\}", target.get("expr", "")):
                    assert 'cluster="eu"' in matchers or "service_name" in matchers
