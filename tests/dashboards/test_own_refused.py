"""What users add is refused before Prometheus or Grafana refuse a whole file because of it."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from dashboards.cli.main import cli
from dashboards.config import Config, load_config
from dashboards.files import generated
from dashboards.model.alert_text import TextError, check_text
from dashboards.model.query_syntax import QueryError, kept_labels
from dashboards.rules.alerts import make_alerts
from tests.dashboards.guide import guide_block

if TYPE_CHECKING:
    from pathlib import Path

    from dashboards.formats import Format

ADDED: dict[str, Any] = yaml.safe_load(guide_block("own:"))

QUERIES = (
    "carts_left",
    'carts_left{job="shop", instance!~"a|b",}',
    '{__name__="carts_left"}',
    '{"carts.left", job="shop"}',
    ":carts:left",
    "carts_left offset -5m",
    "carts_left @ start()",
    "rate(carts_left[5m] @ end() offset 1h)",
    "rate(carts_left[1h30m])",
    "rate(carts_left[300])",
    "max_over_time(rate(carts_left[5m])[1h:1m])",
    "max_over_time(rate(carts_left[5m])[1h:])",
    "sum without (job) (carts_left)",
    "sum(carts_left) by (job,)",
    "topk by (job) (3, carts_left)",
    'count_values("count", carts_left)',
    "quantile(0.9, carts_left)",
    "-carts_left ^ 2 + 1",
    "carts_left > bool 3",
    "carts_left * on (job) group_left (version) target_info",
    "carts_left and on () vector(1) or carts_left unless carts_left",
    "carts_left > 1 == 2",
    "1 > bool 2 + carts_left",
    "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))",
    'label_replace(carts_left, "a", "$1", "job", "(.*)")',
    'label_join(carts_left, "a", "-", "b", "c")',
    "round(carts_left)",
    "round(carts_left, 0.1)",
    "hour()",
    "clamp(carts_left, 0, Inf)",
    "vector(time() - 1e3 * 0x1F)",
    "carts_left atan2 carts_left",
    'carts_left{job=~"a\\\\.b"}',
    "carts_left{job=~`a\\.b`}",
    "carts_left # the comment",
    "SUM BY (job) (carts_left) OR carts_left OFFSET 5m",
    'carts_left{job=~"(?i:a)|(?P<n>b){2,3}?[*+]+"}',
    "sum by (job) (carts_left) / on (job) group_right () carts_left",
    # Those that Prometheus refuses.
    "",
    "carts left",
    "max by (job) (carts_left",
    "max by (job) (carts_left))",
    "carts_left{",
    'carts_left{job="shop}',
    "carts_left{job=shop}",
    'carts_left{, job="shop"}',
    'carts_left{job=~"("}',
    'carts_left{job=~"a(?=b)"}',
    'carts_left{job="a\\.b"}',
    '{job=~".*"}',
    "{}",
    "1",
    '"text"',
    "carts_left[5m]",
    "carts_left[5x]",
    "rate(carts_left)",
    "rate(carts_left[])",
    "(carts_left)[5m]",
    "rate(sum(carts_left)[5m])",
    "rte(carts_left[5m])",
    "round(carts_left, 1, 2)",
    "topk(carts_left)",
    "1 > 2",
    "1 and carts_left",
    "carts_left and 1",
    "carts_left + on (job) 1",
    "carts_left and on (job) group_left () carts_left",
    "carts_left +",
    "carts_left + bool 1",
    "carts_left offset",
    "rate(carts_left[5m]) + carts_left[5m]",
    "carts_left ? 1",
    "carts_left; carts_left",
    "mad_over_time(carts_left[5m])",
    'sort_by_label(carts_left, "job")',
    "limitk(3, carts_left)",
    "start() + carts_left",
    "carts_left + fill(0) carts_left",
    "rate(carts_left[5m],)",
    "rate(carts_left[0s])",
    "rate(carts_left[30s5m])",
    "carts_left offset 5m offset 5m",
    'carts_left{__name__="carts"}',
    "carts_left * on (a) group_left (a) carts_left",
    'carts_left{job=~"a++"}',
    'carts_left{job=~"(?>a)"}',
    'carts_left{job=~"(?x)a"}',
    'carts_left{job=~"a{1001}"}',
    'carts_left{job=~"\\\\u0041"}',
    'carts_left{job="a" or job="b"}',
)
TEXTS = (
    "plain {, }} and $",
    "{{ $labels.job }} waits {{ $value | humanize }}",
    '{{ printf "%.0f }}" $value }}',
    "{{- $value -}}",
    "{{ if gt $value 1.0 }}a{{ else if $labels.job }}b{{ else }}c{{ end }}",
    "{{ with $x := $value }}{{ $x }}{{ end }}",
    "{{ range $i, $v := query `up` }}{{ $i }}{{ $v.Value }}{{ end }}",
    "{{/* a comment */}}{{- /* and one */ -}}",
    "{{ define `n` }}{{ . }}{{ end }}{{ template `n` $value }}{{ block `m` . }}{{ end }}",
    "{{ range query `up` }}{{ if .Value }}{{ break }}{{ else }}{{ continue }}{{ end }}{{ end }}",
    "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}{{ 'c' }}{{ -5 }}",
    "{{ (index (query `up`) 0).Value | printf `%.0f` }}{{\n$value\n}}",
    "{{ $labels.job }: waits",
    "{{ $value | humanizeX }}",
    "{{ if $value }} x",
    "x {{ end }}",
    "x {{ else }}",
    "{{ }}",
    "{{ | humanize }}",
    "{{ if }}x{{ end }}",
    "{{ ($value }}",
    '{{ printf "%.0f $value }}',
    "{{ $amount }}",
    "{{ value }",
    "{{ $value * 100 }}",
    "{{ $value > 5 }}",
    "{{ 5 - 3 }}",
    "{{ $labels. }}",
    "{{ $labels.service-name }}",
    "{{$value-}}",
    "{{-$value}}",
    "{{{ $value }}}",
    '{{ "a" | "b" }}',
    '{{ "a""b" }}',
    '{{ "\\q" }}',
    "{{ ..A }}",
    "{{ tmpl `x` . }}",
    "{{ /* no comment */ }}",
    "{{ if true }}{{ $y := 1 }}{{ end }}{{ $y }}",
    "{{ if true }}a{{ else }}b{{ else }}c{{ end }}",
    "{{ if true }}a{{ else with true }}b{{ end }}",
    "{{ if true }}{{ define `n` }}{{ end }}{{ end }}",
    "{{ break }}",
)


def _changed(part: str, **values: object) -> dict[str, Any]:
    document = copy.deepcopy(ADDED)
    document["own"][part][1 if part == "signals" else 0].update(values)
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (_changed("signals", query="max(carts_left{$selector}"), "signals[1].query: 'max(carts"),
        (_changed("signals", query="carts left"), "signals[1].query: 'carts left' is no query"),
        (_changed("signals", query="  "), "signals[1].query: ' ' must be a text that is not empty"),
        (_changed("signals", query="rate(carts_left[$windw])"), "query: 'rate(carts_left[$windw])"),
        (_changed("signals", query="1"), "signals[1].query: '1' must return series"),
        (_changed("signals", query="carts_left[5m]"), "must return series, not a range"),
        (_changed("signals", title=""), "own.signals[1].title: '' must be a text that is not"),
        (_changed("signals", description=" "), "own.signals[1].description: ' ' must be"),
        (_changed("signals", unit=""), "own.signals[1].unit: '' must be a text"),
        (_changed("signals", title="$group costs"), "uses $group, but the dashboard carts has no"),
        (_changed("signals", legend="${x:regex}"), "uses $x, but the dashboard carts has no"),
        (
            _changed("signals", thresholds=[{"value": float("nan"), "level": "warning"}]),
            "own.signals[1].thresholds: each value must be a number",
        ),
        (
            _changed(
                "signals",
                thresholds=[{"value": 9, "level": "critical"}, {"value": 9, "level": "warning"}],
            ),
            "own.signals[1].thresholds: the values must ascend",
        ),
        (_changed("alerts", above=float("nan")), "own.alerts[0].above: nan must be a number"),
        (_changed("alerts", above=float("inf")), "own.alerts[0].above: inf must be a number"),
        (_changed("alerts", wait="99999999999999d"), "own.alerts[0].wait: '99999999999999d' must"),
        (_changed("alerts", wait="1h30m"), "'1h30m' must be one number and its unit, s, m, h or d"),
        (_changed("alerts", wait="8d"), "own.alerts[0].wait: '8d' must be 7d or less"),
        (_changed("alerts", summary=""), "own.alerts[0].summary: '' must be a text that is not"),
        (_changed("alerts", description=""), "own.alerts[0].description: '' must be a text"),
        (_changed("alerts", runbook=""), "own.alerts[0].runbook: '' must be a text that is not"),
        (_changed("alerts", summary="{{ $labels.job }: x"), "has {{ without }}"),
        (_changed("alerts", description="{{ if $value }}"), "own.alerts[0].description: '{{ if"),
        (_changed("alerts", summary="{{ $labels.nope }}"), "the label 'nope', but its query keeps"),
        (_changed("alerts", summary="{{ $value * 100 }}"), "calculate in the query"),
        (_changed("alerts", labels=["jbo"]), "own.alerts[0].labels: no dashboard is filtered by"),
        (_changed("alerts", labels=["saga"]), "labels: the query of 'left' does not keep"),
        (_changed("alerts", name="A" * 101), "must be letters and digits, up to 100"),
        (_changed("panels", row=""), "own.panels[0].row: '' must be a text that is not empty"),
        (_changed("panels", height=1000000), "own.panels[0]: width must be 1 to 24, and height 3"),
        (_changed("boards", title=""), "own.boards[0].title: '' must be a text that is not empty"),
        (_changed("boards", title="overview"), "there is a dashboard titled 'overview' already"),
        (_changed("boards", description=""), "own.boards[0].description: '' must be a text"),
        (_changed("boards", variables=["service"] * 2), "own.boards[0].variables: each must be"),
        (_changed("boards", variables=["group"]), "uses $service, but the dashboard carts has no"),
        ({"labels": {"pipeline": "x"}}, "labels: 'pipeline' must be a label name that is not"),
        ({"labels": {"messaging_consumer_group_name": "x"}}, "must be a label name that is not"),
        ({"selector": {"objective": "x"}}, "selector: 'objective' must be a label name that is"),
        ({"selector": {"job": "x"}}, "selector: 'job' must be a label name that is not reserved"),
    ],
)  # fmt: skip
def test_a_configuration_that_would_break_a_file_is_refused(
    document: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(document))
    result = CliRunner().invoke(cli, ["list", "--config", str(file)])
    assert 2 == result.exit_code
    output = " ".join(result.output.split())
    assert message in output
    assert f"{file}: " in output


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("carts_left", None),
        ("sum(carts_left)", set()),
        ("(-sum by (a, b) (x))", {"a", "b"}),
        ("sum without (a) (x)", None),
        ("topk(3, sum by (a) (x))", {"a"}),
        ('count_values("c", sum by (a) (x))', None),
        ("1 + sum by (a) (x)", {"a"}),
        ("sum by (a) (x) > 1", {"a"}),
        ("sum by (a) (x) and on () y", {"a"}),
        ("sum by (a) (x) or sum by (a) (y)", {"a"}),
        ("sum by (a) (x) or sum by (b) (y)", None),
        ("sum by (a, b) (x) / on (a) sum by (a) (y)", {"a"}),
        ("sum by (a, b) (x) / ignoring (b) sum by (a) (y)", {"a"}),
        ("sum(x) * on () group_left (v) y", {"v"}),
        ("y * on () group_right (v) sum by (a) (x)", {"a", "v"}),
    ],
)
def test_the_labels_that_a_query_keeps_are_known(query: str, labels: set[str] | None) -> None:
    assert labels == kept_labels(query)


def test_a_query_without_a_selector_has_no_comma_beside_nothing(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    for query, expected in (
        ('max(carts_left{$selector, job="a"})', 'max(carts_left{ job="a"})'),
        ('max(carts_left{job="a", $selector})', 'max(carts_left{job="a"})'),
        ("max(carts_left{$selector})", "max(carts_left{})"),
        ("max(carts_left{${selector}, job='a'})", "max(carts_left{ job='a'})"),
    ):
        document = _changed("signals", query=query)
        document["own"]["alerts"] = []
        file.write_text(yaml.safe_dump(document))
        panels = json.loads(generated(load_config(file))["carts.json"])["panels"]
        assert expected == panels[1]["targets"][0]["expr"]


def test_the_names_of_the_window_and_of_the_selector_may_be_in_braces(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    document = _changed("signals", query="max by (job) (rate(carts_left{${selector}}[${window}]))")
    file.write_text(yaml.safe_dump({**document, "selector": {"cluster": "eu"}}))
    alerts = yaml.safe_load(generated(load_config(file))["rules/own-alerts.yaml"])
    (rule,) = alerts["groups"][0]["rules"]
    assert '(max by (job) (rate(carts_left{cluster="eu"}[15m]))\n) > 100.0' == rule["expr"]


def test_a_part_of_a_pattern_and_a_price_are_no_variables(tmp_path: Path) -> None:
    query = 'label_replace(max by (job) (carts_left), "shop", "$1${2}", "job", "(.*)-(.*)")'
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(_changed("signals", query=query, description="Costs $5 each.")))
    files = generated(load_config(file))
    for text in (files["carts.json"], files["rules/own-alerts.yaml"]):
        assert "$1${2}" in text


def test_the_alerts_of_a_user_are_a_file_and_a_group_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(ADDED))
    files = generated(load_config(file))
    assert generated(Config())["rules/alerts.yaml"] == files["rules/alerts.yaml"]
    assert "rules/own-alerts.yaml" not in generated(Config())
    (group,) = yaml.safe_load(files["rules/own-alerts.yaml"])["groups"]
    assert ["ManyCartsLeft"] == [rule["alert"] for rule in group["rules"]]
    forms: tuple[tuple[Format, str, str], ...] = (
        ("grafana", "rules/own-prometheusrule.yaml", "rules/prometheusrule.yaml"),
        ("configmap", "own-rules.yaml", "rules.yaml"),
    )
    for form, own, built_in in forms:
        # The operator refuses a resource as a whole.
        resources, without = generated(load_config(file), form), generated(Config(), form)
        assert without[built_in] == resources[built_in]
        assert own not in without
        resource = yaml.safe_load(resources[own])
        assert [group] == resource["spec"]["groups"]
        assert ("PrometheusRule", "pipeline-own-rules") == (
            resource["kind"],
            resource["metadata"]["name"],
        )
    grafana = yaml.safe_load(files["rules/grafana-alerting.yaml"])["groups"]
    assert ["pipeline-alerts", "pipeline-own-alerts"] == [each["name"] for each in grafana]
    assert ["ManyCartsLeft"] == [rule["title"] for rule in grafana[1]["rules"]]


def test_a_comment_at_the_end_of_a_query_leaves_the_condition(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(_changed("signals", query="max by (job) (carts_left) # carts")))
    (rule,) = yaml.safe_load(generated(load_config(file))["rules/own-alerts.yaml"])["groups"][0][
        "rules"
    ]
    assert "(max by (job) (carts_left) # carts\n) > 100.0" == rule["expr"]


def test_the_built_in_queries_and_texts_are_accepted() -> None:
    for native in (False, True):
        for recorded in (False, True):
            for alert in make_alerts(Config(native_histograms=native), recorded=recorded):
                kept_labels(alert.expr)
                check_text(alert.summary)
                check_text(alert.description + alert.found)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_query_and_a_text_are_accepted_if_prometheus_does(binaries: Path, tmp_path: Path) -> None:
    files = []
    for number, (query, text) in enumerate(
        [*((query, "") for query in QUERIES), *(("up", text) for text in TEXTS)]
    ):
        expr = f"({query}\n) and on () up" if query else ""
        rule = {"alert": "A", "expr": expr, "annotations": {"summary": text}}
        files.append(tmp_path / f"{number:03}.yaml")
        files[-1].write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    wrong = []
    for file, (query, text) in zip(
        files, [*((query, "x") for query in QUERIES), *(("up", text) for text in TEXTS)],
        strict=True,
    ):  # fmt: skip
        done = subprocess.run(
            [binaries / "promtool", "check", "rules", file],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        try:
            kept_labels(query)
            check_text(text)
            accepted = True
        except (QueryError, TextError):
            accepted = False
        if accepted != (0 == done.returncode):
            wrong.append((query, text, done.stdout + done.stderr))
    assert [] == wrong
