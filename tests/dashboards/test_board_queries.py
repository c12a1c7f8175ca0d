"""All dashboards: their queries, filters and number of queries."""

from __future__ import annotations

import json
import re

from dashboards.boards.overview import overview_board
from dashboards.config import Config, Objective
from dashboards.files import generated
from dashboards.model.board import SERVICE_NAME, Board, SignalPanel
from dashboards.model.labels import VARIABLE_OF
from dashboards.rules.alerts import make_alerts
from dashboards.signals import services
from tests.dashboards.board_documents import (
    BOARDS,
    CONFIG,
    board_panels,
    document,
    each_board,
    panels,
    promql,
)
from tracing.core import semconv
from tracing.metrics.catalog import METRICS

OTHER_LABELS = {
    "le", "job", "instance", "id", "source", "target", "title", "subtitle", "way", "command",
    "objective", "color", "secondarystat", "detail__milliseconds", "detail__failed_percent",
    "strokedasharray", "counted", "note", "stop",
}  # fmt: skip
NO_LABELS = {
    "by", "increase", "count_values", "round", "group", "group_left", "clamp_min", "clamp_max",
    "deriv", "sum", "max", "count", "topk", "resets", "ignoring",
    "histogram_quantile", "label_replace",
    "label_join", "on", "offset", "or", "and", "unless", "sort_desc", "last_over_time",
    "max_over_time", "min_over_time", "count_over_time", "min", "timestamp", "time", "__name__",
    "m", "nf",
}  # fmt: skip
# Where anything arrives, whatever is chosen, nothing is stuck at all.
STILL_ARRIVING = " unless sum by (messaging_consumer_group_name, messaging_destination_name) ("
PART_OF_A_HOP = re.compile(r" \* on \([^)]+\) group_left \(\) \(\(sum by \([^)]+\) \(max by ")


@each_board
def test_queries_use_only_metrics_and_labels_of_the_catalogue(board: Board) -> None:
    labels_of = {metric.prometheus: set(metric.prometheus_labels) for metric in METRICS}
    labels_of["target_info"] = {"service_version"}
    labels = OTHER_LABELS.union(*labels_of.values())
    for query in promql(board):
        bare = re.sub(r'"[^"]*"', "", query)
        bare = re.sub(r"\[[^]]*\]|\bNaN\b", "", bare)
        bare = re.sub(r"(offset|/) (\$\w+|\d+\w)", "", bare)
        words = set(re.findall(r"[a-z_][a-z0-9_]*", bare)) - NO_LABELS
        for word in words:
            name = re.sub(r"_(bucket|sum|count)$", "", word)
            assert name in labels_of or word in labels, f"{word} in {query}"
        for metric, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", query):
            name = re.sub(r"_(bucket|sum|count)$", "", metric)
            chosen = set(re.findall(r"([a-z_]+)[=!]~?\"", matchers))
            assert chosen <= labels_of.get(name, labels_of.get(metric, set())) | {
                "le",
                "job",
                "instance",
            }, query


def _without_still_arriving(query: str) -> str:
    """Return a query without the clauses that leave out hops at which something arrives."""
    kept, *rests = query.split(STILL_ARRIVING)
    for rest in rests:
        depth = end = 1
        while depth:
            depth += {"(": 1, ")": -1}.get(rest[end - 1], 0)
            end += 1
        kept += rest[end - 1 :]
    return kept


@each_board
def test_rates_use_the_window_that_grafana_recommends(board: Board) -> None:
    for panel in board_panels(board):
        for query in queries_of(board, panel):
            judged = _without_still_arriving(query)
            for window in re.findall(r"increase\([^[]*\[([^]]*)\]", judged):
                if panel.kind == "counts":
                    # Grafana's distance of two points: no event is in two bars, or in none.
                    assert "$__interval" == window
                else:
                    # What is chosen for all of the time shown is the same at every point.
                    assert window in {"$__rate_interval", panel.over, "$__range"}


def queries_of(board: Board, panel: SignalPanel) -> list[str]:
    from dashboards.render.panels import scope_of  # noqa: PLC0415 - only here

    return [signal.expr(scope_of(panel, board, CONFIG)) for signal in panel.signals]


@each_board
def test_annotations_use_a_window_longer_than_one_export(board: Board) -> None:
    for mark in document(board)["annotations"].get("list", ()):
        if "Dead letters" == mark["name"]:
            # Grafana shortens its own interval variables when the user zooms in.
            assert "$__" not in mark["expr"]
            assert re.search(r"increase\([^[]*\[5m\]", mark["expr"])


@each_board
def test_every_metric_is_filtered_by_the_variables_of_its_labels(board: Board) -> None:
    labels_of = {metric.prometheus: set(metric.prometheus_labels) for metric in METRICS}
    labels_of["target_info"] = {"service_version"}
    for query in promql(board):
        judged = _without_still_arriving(query)
        for metric, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", judged):
            name = metric if metric in labels_of else re.sub(r"_(bucket|sum|count)$", "", metric)
            for label, variable in VARIABLE_OF.items():
                if label in {"job", "instance"}:
                    # Lag monitors and saga engines report these, not the service itself.
                    has = not re.match(
                        r"pipeline_(saga|cluster_|consumer_|dead_letters_.+[a-z]{3})", name
                    )
                    has = has or "pipeline_dead_letters_total" == name
                else:
                    has = label in labels_of[name]
                wanted = has and variable in board.variables
                # Means filter by no label that one of their parts lacks.
                allowed = {wanted} if "_sum{" not in query else {wanted, False}
                if "pipeline" == label and re.search(r" unless (on \([^)]+\) )?group by ", query):
                    # What only other pipelines have is left out, and so named without this one.
                    allowed |= {False}
                if PART_OF_A_HOP.search(query):
                    # What the whole hop has, of which a pipeline has a part.
                    allowed |= {False}
                assert (f'{label}=~"${variable}"' in matchers) in allowed, query


@each_board
def test_opening_a_dashboard_sends_few_queries(board: Board) -> None:
    dashboard = document(board)
    queries = sum(len(panel.get("targets", ())) for panel in panels(board))
    queries += sum(
        variable["type"] == "query" for variable in dashboard["templating"].get("list", ())
    )
    queries += len(dashboard.get("annotations", {}).get("list", ()))
    # The number does not depend on the services and topics: no panel or row is repeated.
    assert queries < 40
    assert not any(panel.get("repeat") for panel in dashboard["panels"])


@each_board
def test_trace_queries_use_only_attributes_that_spans_have(board: Board) -> None:
    attributes = {value for value in vars(semconv).values() if isinstance(value, str)}
    for panel in panels(board):
        for target in panel.get("targets", ()):
            if "tempo" == target["datasource"]["type"]:
                assert set(re.findall(r"span\.([a-z_.]+)", target["query"])) <= attributes
                for variable in re.findall(r"\$\{?(\w+)", target["query"]):
                    assert variable in {
                        *board.variables,
                        SERVICE_NAME,
                        *(box.name for box in board.boxes),
                    }


ODD = 'a"b (c) + d\\e.f|g'


def _as_grafana_asks_tempo(query: str) -> str:
    """Replace variables by an odd value: as it is, or for a regular expression if that is asked."""
    asked = re.sub(r"\$\{\w+:regex\}", lambda _: re.escape(ODD), query)
    return re.sub(r"\$(?!slower_than)\w+|\$\{\w+\}", lambda _: ODD, asked)


@each_board
def test_trace_queries_find_names_with_quotes_and_signs(board: Board) -> None:
    for panel in panels(board):
        for target in panel.get("targets", ()):
            query = target.get("query", "")
            if "tempo" != target["datasource"]["type"] or "{" not in query.replace("${", ""):
                continue
            for operator, pattern in re.findall(r"(=~?) `([^`]*)`", _as_grafana_asks_tempo(query)):
                if "=" == operator:
                    assert ODD == pattern
                else:
                    name = f"dead_letter {ODD}.{ODD}.dlq" if pattern.startswith("dead") else ODD
                    assert re.fullmatch(pattern, name), query
            # Between quotes, a backslash or a quote of a name would end or change the text.
            assert "$" not in re.sub(r"`[^`]*`|\$slower_than", "", query), query


@each_board
def test_dashboards_have_exactly_the_variables_that_they_use(board: Board) -> None:
    dashboard = document(board)
    names = {each["name"] for each in dashboard["templating"].get("list", ())}
    used = set(re.findall(r"\$\{?([a-z][a-z_]*)", json.dumps(dashboard["panels"])))
    used |= set(re.findall(r"\$\{?([a-z][a-z_]*)", json.dumps(dashboard["annotations"])))
    assert names - {"prometheus"} <= used
    # Links may pass variables that the other dashboard does not have.
    assert used <= names | {"labels"}


def test_with_recording_rules_lag_panels_query_the_recorded_series() -> None:
    lag = next(board for board in BOARDS if board.name == "lag")
    queries = [
        target["expr"]
        for panel in document(lag, Config(recording_rules=True))["panels"]
        for target in panel.get("targets", ())
    ]
    chosen = (
        '{messaging_consumer_group_name=~"$group", messaging_destination_name=~"$destination", '
        'ruleset="pipeline"}'
    )
    assert f"group_topic:pipeline_consumer_lag:sum{chosen}" in queries
    assert f"group_topic:pipeline_consumer_lag_time_seconds:max{chosen}" in queries


def test_a_selector_is_in_every_query() -> None:
    for recording_rules in (False, True):
        config = Config(selector={"cluster": "eu"}, recording_rules=recording_rules)
        for board in BOARDS:
            dashboard = document(board, config)
            queries = [
                target["expr"]
                for panel in dashboard["panels"]
                for target in panel.get("targets", ())
                if "prometheus" == target["datasource"]["type"]
            ]
            queries += [
                each["expr"] for each in dashboard["annotations"].get("list", ()) if "expr" in each
            ]
            queries += [
                each["query"]
                for each in dashboard["templating"].get("list", ())
                if "query" == each["type"]
            ]
            for query in queries:
                for matchers in re.findall(r"\{([^}]*)\}", query):
                    assert 'cluster="eu"' in matchers, query


def test_a_dot_in_a_name_matches_only_a_dot() -> None:
    overview = document(BOARDS[0], Config(pipelines=("orders.eu", "returns")))
    variables = {each["name"]: each for each in overview["templating"]["list"]}
    assert "orders[.]eu|returns" == variables["pipeline"]["allValue"]


def test_only_the_configured_pipelines_and_sagas_are_shown() -> None:
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
    alerts = make_alerts(config, recorded=False)
    for alert in alerts:
        # The hop of which a pipeline has a part, and hops that only others arrive at, are of all.
        expr = PART_OF_A_HOP.split(_without_still_arriving(alert.expr))[0]
        expr = re.sub(r" unless on \([^)]+\) group by \([^)]+\) \([^)]+\)", "", expr)
        for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", expr):
            if name.startswith("pipeline_saga"):
                assert 'saga=~"place-order"' in matchers
            if name.startswith("pipeline_end_to_end") and alert.name.startswith("EndToEnd"):
                assert 'pipeline=~"orders|returns"' in matchers


def test_only_names_that_a_shell_takes_as_one_word_become_commands() -> None:
    queries = [alert.expr for alert in make_alerts(CONFIG)]
    queries += [query for board in BOARDS for query in promql(board)]
    patterns = [
        pattern
        for query in queries
        for value, pattern in re.findall(
            r'label_replace\(.*?, "\w+", "([^"]*)", "\w+", "([^"]*)"\)', query
        )
        if "python" in value
    ]
    assert patterns
    for pattern in patterns:
        for name in ("orders", "orders.eu-1_b", ".hidden"):
            assert re.fullmatch(pattern, name)
        for name in ("x $(touch pwned)", "x;y", "--yes", "a'b", "a\nb", "ä", ""):
            assert not re.fullmatch(pattern, name)


def test_texts_of_alerts_and_dashboards_put_no_label_into_a_command() -> None:
    for name, text in generated(CONFIG).items():
        # A query goes on after the command, which is a text in it.
        texts = re.sub(r" or on \(\) .*", "", text)
        assert not re.search(
            r"python -m [^\n`]*(\{\{|\$labels|\$\{|\$group|\$destination)", texts
        ), name


def test_no_dashboard_or_alert_depends_on_an_attribute_that_the_conventions_renamed() -> None:
    # Services with either name must be in every panel.
    renamed = re.compile(
        r"messaging[._]system|(messaging[._])?kafka[._](offset|message[._]|cluster[._]id)"
    )
    files = generated(CONFIG)
    assert {"overview.json", "traces.json", "rules/alerts.yaml"} <= files.keys()
    assert [] == [name for name, text in files.items() if renamed.search(text)]


def test_limits_of_several_objectives_colour_nothing() -> None:
    fast, batch = Objective(name="fast", within_s=1.0), Objective(name="batch", within_s=60.0)
    for objectives, colours in (
        ((fast, batch), [(None, "text")]),
        (
            (fast, Objective(name="other", within_s=1.0)),
            [(None, "green"), (1, "orange"), (2, "red")],
        ),
    ):
        config = Config(objectives=objectives)
        drawn = document(overview_board(config), config)["panels"]
        shown = {panel["title"]: panel for panel in drawn}
        for title in ("End-to-end lag p95", "End-to-end lag"):
            steps = shown[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert colours == [(step["value"], step["color"]) for step in steps], title


def test_what_has_no_limit_has_no_colours() -> None:
    # A consumer of twelve partitions that are a tenth busy each is not saturated.
    assert () == services.IN_HAND.thresholds
