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
from dashboards.rules.alerts import alerts
from tracing import semconv
from tracing.catalog import METRICS

CONFIG = Config()
BOARDS = all_boards(CONFIG)
# Of Prometheus itself, of the resource, and those that the node graph makes.
OTHER_LABELS = {
    "le", "job", "id", "source", "target", "title", "subtitle", "way", "command", "objective",
}  # fmt: skip
NO_LABELS = {
    "by", "rate", "increase", "sum", "max", "count", "topk", "histogram_quantile", "label_replace",
    "label_join", "on", "offset", "or", "and", "unless", "sort_desc", "last_over_time",
    "min_over_time", "max_over_time", "__name__", "m",
}  # fmt: skip
# Grafana's own, and of traces.
NO_ATTRIBUTES = {"resource.service.name", "trace:duration"}

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
    (status,) = by_title["Status of groups"]["fieldConfig"]["defaults"]["mappings"]
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
    where = by_title["Mean time by hop: publish, wait, processing, retry"]
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
def test_queries_use_the_catalogues_metrics_and_labels_alone(board: Board) -> None:
    known = {metric.prometheus: set(metric.prometheus_labels) for metric in METRICS}
    labels = OTHER_LABELS.union(*known.values())
    for query in promql(board):
        bare = re.sub(r'"[^"]*"', "", query)
        bare = re.sub(r"\[[^]]*\]", "", bare).replace("$__rate_interval", "")
        bare = re.sub(r"offset (\$\w+|\d\w)", "", bare)
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
                assert window in {"$__rate_interval", panel.over, "6h"}


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
                if label == "job":
                    # What is seen from outside or in a store is not told by its service.
                    has = not re.match(r"pipeline_(saga|consumer_|dead_letters_.+[a-z]{3})", name)
                    has = has or "pipeline_dead_letters_total" == name
                else:
                    has = label in known[name]
                wanted = has and variable in board.variables
                assert wanted == (f'{label}=~"${variable}"' in matchers), query


@each_board
def test_a_load_of_the_dashboard_asks_few_questions(board: Board) -> None:
    found = document(board)
    asked = sum(len(panel.get("targets", ())) for panel in panels(board))
    asked += sum(variable["type"] == "query" for variable in found["templating"].get("list", ()))
    asked += len(found.get("annotations", {}).get("list", ()))
    # However many services and topics there are: no panel and no row is repeated for each.
    assert asked < 40
    assert not any(panel.get("repeat") for panel in found["panels"])


@each_board
def test_what_is_written_is_what_grafanas_types_read(board: Board) -> None:
    def in_sight(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if value != "inControlsMenu"}

    written = document(board)
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(written)), object_hook=in_sight)
    assert written == read
    assert "inControlsMenu" not in json.dumps(written)


@each_board
def test_traces_are_asked_for_by_attributes_that_spans_have(board: Board) -> None:
    known = {value for value in vars(semconv).values() if isinstance(value, str)}
    for panel in panels(board):
        for target in panel.get("targets", ()):
            if "tempo" == target["datasource"]["type"]:
                assert set(re.findall(r"span\.([a-z_.]+)", target["query"])) <= known
                for variable in re.findall(r"\$(\w+)", target["query"]):
                    assert variable in {*board.variables, *(box.name for box in board.boxes)}


@each_board
def test_boards_have_the_variables_that_they_use_and_no_others(board: Board) -> None:
    found = document(board)
    names = {each["name"] for each in found["templating"].get("list", ())}
    used = set(re.findall(r"\$\{?([a-z][a-z_]*)", json.dumps(found["panels"])))
    used |= set(re.findall(r"\$\{?([a-z][a-z_]*)", json.dumps(found["annotations"])))
    assert names - {"prometheus"} <= used
    # In links, what the dashboard that is left has and the other one lacks does no harm.
    assert used <= names | {"labels"}


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


def test_with_recording_rules_lag_is_asked_of_them() -> None:
    lag = next(board for board in BOARDS if board.name == "lag")
    asked = [
        target["expr"]
        for panel in document(lag, Config(recording_rules=True))["panels"]
        for target in panel.get("targets", ())
    ]
    chosen = (
        '{messaging_consumer_group_name=~"$group", messaging_destination_name=~"$destination", '
        'ruleset="pipeline"}'
    )
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
    for recording_rules in (False, True):
        config = Config(selector={"cluster": "eu"}, recording_rules=recording_rules)
        for board in BOARDS:
            found = document(board, config)
            queries = [
                target["expr"]
                for panel in found["panels"]
                for target in panel.get("targets", ())
                if "prometheus" == target["datasource"]["type"]
            ]
            queries += [
                each["expr"] for each in found["annotations"].get("list", ()) if "expr" in each
            ]
            queries += [
                each["query"]
                for each in found["templating"].get("list", ())
                if "query" == each["type"]
            ]
            for query in queries:
                for matchers in re.findall(r"\{([^}]*)\}", query):
                    assert 'cluster="eu"' in matchers, query


def test_pipelines_and_sagas_of_ones_own_are_all_that_is_shown() -> None:
    config = Config(pipelines=("orders", "returns"), sagas=("place-order",))
    overview = document(BOARDS[0], config)
    variables = {each["name"]: each for each in overview["templating"]["list"]}
    assert "orders|returns" == variables["pipeline"]["allValue"]
    assert 'pipeline=~"orders|returns"' in variables["pipeline"]["query"]
    lag = document(next(board for board in BOARDS if "service" == board.name), config)
    assert all(
        'saga=~"place-order"' in matchers
        for panel in lag["panels"]
        for target in panel.get("targets", ())
        for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", target.get("expr", ""))
        if name.startswith("pipeline_saga")
    )
    expressions = " ".join(alert.expr for alert in alerts(config, recorded=False))
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", expressions):
        if name.startswith("pipeline_saga"):
            assert 'saga=~"place-order"' in matchers
        if name.startswith("pipeline_end_to_end"):
            assert 'pipeline=~"orders|returns"' in matchers
