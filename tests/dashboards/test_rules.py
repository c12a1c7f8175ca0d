"""Rules: promtool accepts them, alerts fire only when they should and link to help."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import yaml

import dashboards
from dashboards.boards.all_boards import make_boards
from dashboards.config import Config, Kubernetes, Objective
from dashboards.durations import seconds_of
from dashboards.model.board import title_of
from dashboards.model.labels import RECORDED_WINDOWS, recorded_arrivals
from dashboards.model.promql import Scope
from dashboards.rules.alerts import make_alerts
from dashboards.rules.annotations import annotations_of
from dashboards.rules.burn_rate import WINDOWS
from dashboards.rules.files import alerts_file, prometheus_rule_resource, recordings_file
from dashboards.rules.grafana import grafana_alerting
from dashboards.rules.recordings import make_recordings
from dashboards.signals import lag
from tests.dashboards.alert_cases import CASES
from tests.dashboards.alert_series import Case, status, thinned
from tests.dashboards.another_cause import ANOTHER_CAUSE

CONFIG = Config()
RUNBOOK = Path(dashboards.__file__).parent / "runbook.md"
FULL = Config(
    prefix="shop",
    selector={"cluster": "eu"},
    pipelines=("orders", "returns"),
    sagas=("place-order",),
    objectives=(
        Objective(name="fast", pipeline="orders|returns", group="analytics", within_s=1.0),
        Objective(name="some day", destination="orders[.].*", within_s=60.0, ratio=0.999),
    ),
    labels={"team": "shop"},
    recording_rules=True,
)
NAMES = [alert.name for alert in make_alerts(CONFIG)]
FIRST = list(
    {(case.alert, case.firing): case for case in reversed(CASES) if not case.days}.values()
)
"""Of each alert, one case that fires and one that does not."""


def _promtool(binaries: Path, *arguments: str | Path) -> None:
    done = subprocess.run(
        [binaries / "promtool", *arguments], check=False, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def _write_rules(folder: Path, *configs: Config) -> list[str]:
    """Write the rule files of configurations and return their names."""
    names = []
    for config in configs:
        for what, made in (("recordings", recordings_file), ("alerts", alerts_file)):
            names.append(f"{config.prefix}-{what}.yaml")
            (folder / names[-1]).write_text(made(config))
    return names


def _write_one(folder: Path, name: str, config: Config) -> list[str]:
    """Write an alert with the recording rules that it needs: to evaluate all takes seconds."""
    (alerts,) = yaml.safe_load(alerts_file(config))["groups"]
    (alert,) = (rule for rule in alerts["rules"] if name == rule["alert"])
    groups = [{**alerts, "rules": [alert]}]
    recordings = yaml.safe_load(recordings_file(config))["groups"]
    needed = _recorded(alert["expr"], [rule for each in recordings for rule in each["rules"]])
    for group in recordings:
        rules = [rule for rule in group["rules"] if rule["record"] in needed]
        groups.insert(0, {**group, "rules": rules})
    (folder / "rules.yaml").write_text(json.dumps({"groups": groups}))
    return ["rules.yaml"]


def _recorded(expr: str, rules: list[dict[str, str]]) -> set[str]:
    """Return the names of the series that a query needs, and those that they need themselves."""
    needed: set[str] = set()
    queries = [expr]
    while queries:
        query = queries.pop()
        for rule in rules:
            if f"{rule['record']}{{" in query and rule["record"] not in needed:
                needed.add(rule["record"])
                queries.append(rule["expr"])
    return needed


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("config", [CONFIG, FULL], ids=["built in", "all of it configured"])
def test_promtool_accepts_the_rules(config: Config, binaries: Path, tmp_path: Path) -> None:
    for name in _write_rules(tmp_path, config):
        _promtool(binaries, "check", "rules", "--lint-fatal", tmp_path / name)


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.about}")
def test_an_alert_fires_when_it_should_and_only_then(
    case: Case, binaries: Path, tmp_path: Path
) -> None:
    if case.days:
        _check_query(binaries, tmp_path, case, _query_of(case), {"{}": case.firing})
        return
    fired = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    # An alert that must not fire must not have fired earlier either.
    seen = fired if case.firing or case.before else f"last_over_time({fired}[1d])"
    _check_query(binaries, tmp_path, case, f"count({seen}) or vector(0)", {"{}": case.firing})


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.about}")
def test_alerts_for_grafana_fire_without_recorded_series(
    case: Case, binaries: Path, tmp_path: Path
) -> None:
    if case.firing:  # the query alone ignores `for`, which may be what keeps an alert from firing
        _check_query(binaries, tmp_path, case, _query_of(case), {"{}": case.firing})


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", FIRST, ids=lambda case: f"{case.alert}: {case.about}")
def test_an_alert_fires_when_it_should_with_the_longest_export_interval(
    case: Case, binaries: Path, tmp_path: Path
) -> None:
    # Two exports in a row take up to three minutes longer than those of the cases.
    later_s = 180 if case.firing else 0
    seldom = replace(
        case,
        series={name: thinned(values, 4) for name, values in case.series.items()},
        at=f"{seconds_of(case.at) + later_s}s",
    )
    fired = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    seen = fired if case.before else f"last_over_time({fired}[{'3m' if case.firing else '1d'}])"
    query = f"count({seen}) or vector(0)"
    _check_query(binaries, tmp_path, seldom, query, {"{}": case.firing}, "2m")


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("case", "elsewhere"), ANOTHER_CAUSE, ids=[case.about for case, _ in ANOTHER_CAUSE]
)
def test_an_outage_says_whether_a_dead_group_is_all_of_it(
    case: Case, elsewhere: bool, binaries: Path, tmp_path: Path
) -> None:
    fired = 'ALERTS{alertname="EndToEndOutage", alertstate="firing", elsewhere'
    with_it, without = (f"(count({fired}{how}}}) or vector(0))" for how in ('="true"', '=""'))
    query = f"{with_it} + 10 * {without}"
    _check_query(binaries, tmp_path, case, query, {"{}": 1 if elsewhere else 10})


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("at", "firing"), [("24m", 1), ("30m", 0)])
def test_the_page_for_a_group_goes_on_until_what_it_silences_has_ended(
    at: str, firing: int, binaries: Path, tmp_path: Path
) -> None:
    dead = status("dead", "0x10 1x20 0x100")
    case = Case(alert="ConsumerStalled", about="repaired after 15 minutes", series=dead, at=at,
                firing=firing)  # fmt: skip
    fired = 'ALERTS{alertname="ConsumerStalled", alertstate="firing"}'
    _check_query(binaries, tmp_path, case, f"count({fired}) or vector(0)", {"{}": firing})


def _query_of(case: Case) -> str:
    """Return a query for the number of series of a case's alert, without recorded ones."""
    alert = next(
        each for each in make_alerts(case.config, recorded=False) if each.name == case.alert
    )
    return f"count({alert.expr}) or vector(0)"


def _check_query(
    binaries: Path,
    folder: Path,
    case: Case,
    query: str,
    expected: dict[str, float],
    min_step: str = CONFIG.min_step,
) -> None:
    """Check a query at the time of a case; with its alert loaded, if it asks for alerts."""
    config = msgspec.structs.replace(case.config, min_step=min_step)
    document = {
        "rule_files": _write_one(folder, case.alert, config) if "ALERTS{" in query else [],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": series, "values": values} for series, values in case.series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": case.at,
                        "exp_samples": [
                            {"labels": labels, "value": value} for labels, value in expected.items()
                        ],
                    }
                ],
            }
        ],
    }
    test = folder / "test.yaml"
    test.write_text(json.dumps(document))
    _promtool(binaries, "test", "rules", test)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_two_configurations_on_one_prometheus_keep_their_series_apart(
    binaries: Path, tmp_path: Path
) -> None:
    configs = [
        Config(prefix=cluster, selector={"cluster": cluster}, recording_rules=True)
        for cluster in ("eu", "us")
    ]
    where = 'messaging_consumer_group_name="g", messaging_destination_name="t"'
    series = {
        f'pipeline_consumer_lag{{cluster="{cluster}", {where}, instance="{monitor}",'
        f' messaging_destination_partition_id="{partition}"}}': f"{value}x10"
        for cluster, value in (("eu", 3), ("us", 40))
        for partition in (0, 1)
        # Two monitors report the same partition, which must not count twice.
        for monitor in ("a", "b")
    }
    queries = [
        {
            "expr": f"sum({lag.RECORDS.expr(Scope.of(config))})",
            "eval_time": "3m",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for config, value in zip(configs, (6, 80), strict=True)
    ]
    document = {
        "rule_files": _write_rules(tmp_path, *configs),
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": queries,
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(document))
    _promtool(binaries, "test", "rules", tmp_path / "test.yaml")


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    for wanted in (0, 1):
        assert set(NAMES) == {case.alert for case in CASES if case.firing == wanted}


def test_every_alert_has_a_section_in_the_runbook() -> None:
    sections = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    assert NAMES == [section.splitlines()[0] for section in sections]
    for section in sections:
        for part in ("**Meaning.**", "**Timing.**", "**Diagnosis.**", "**Fix.**"):
            assert 1 == section.count(part), section


def test_the_runbook_says_how_soon_an_alert_fires_and_when_it_resolves() -> None:
    sections = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    units = {"s": "seconds", "m": "minutes"}
    for alert, section in zip(make_alerts(CONFIG), sections, strict=True):
        number, unit = int(alert.wait[:-1]), units[alert.wait[-1]]
        wait = f"after {number} {unit.removesuffix('s') if number == 1 else unit}"
        timing = " ".join(
            section.partition("**Timing.**")[2].partition("**Diagnosis.**")[0].split()
        )
        assert timing.startswith(f"Fires {wait if number else 'at once'} "), alert.name
        assert "Resolves " in timing, alert.name


def test_alerts_on_gauges_of_stores_outlast_what_an_ended_process_reported() -> None:
    stores = ("saga_overdue", "outbox_", "dead_letters_oldest", "projection_staleness")
    for alert in make_alerts(CONFIG):
        if any(f"pipeline_{store}" in alert.expr for store in stores):
            assert 5 < int(alert.wait.removesuffix("m")), alert.name


def test_every_summary_is_different_and_says_what_it_is_about() -> None:
    alerts = make_alerts(CONFIG)
    assert len(alerts) == len({alert.summary for alert in alerts})
    for alert in alerts:
        text = alert.summary + alert.description
        for label in set(alert.labels) - {"pipeline"}:
            assert f"$labels.{label} " in text, alert.name
        notes = annotations_of(alert, CONFIG, value="$values.A.Value")
        assert "$value " not in notes["summary"] + notes["description"]


def test_alerts_link_to_a_panel_and_to_the_runbook() -> None:
    boards = {board.name: board for board in make_boards(CONFIG)}
    for alert in make_alerts(CONFIG):
        titles = [title_of(panel) for _, panel in boards[alert.board].numbered()]
        assert 1 == titles.count(alert.panel), alert.name
    config = Config(grafana_url="https://g.example", labels={"team": "shop"}, prefix="shop")
    (group,) = yaml.safe_load(alerts_file(config))["groups"]
    runbook = dict(boards["runbook"].numbered())
    for rule in group["rules"]:
        assert rule["labels"] == {"team": "shop", "severity": rule["labels"]["severity"]}
        notes = rule["annotations"]
        assert notes["dashboard_url"].startswith("https://g.example/d/shop-")
        url, _, number = notes["runbook_url"].partition("?viewPanel=")
        assert "https://g.example/d/shop-runbook" == url
        assert rule["alert"] == title_of(runbook[int(number)])
        assert notes["summary"]
        assert notes["description"].removesuffix("{{ end }}{{ end }}").endswith(".")


def test_an_alert_opens_its_dashboard_filtered_by_its_labels() -> None:
    (group,) = yaml.safe_load(alerts_file(CONFIG))["groups"]
    urls = {rule["alert"]: rule["annotations"]["dashboard_url"] for rule in group["rules"]}
    assert urls["ConsumerStalled"].endswith(
        "/d/pipeline-lag?viewPanel=2&from=now-1h&to=now&var-group="
        "{{ $labels.messaging_consumer_group_name | urlquery }}"
    )
    assert "/d/pipeline-telemetry?viewPanel=" in urls["TelemetryAbsent"]


def test_the_link_of_an_alert_looks_back_as_far_as_what_made_it_fire() -> None:
    (group,) = yaml.safe_load(alerts_file(CONFIG))["groups"]
    for name, back in (
        ("EndToEndErrorBudgetSlowBurn", "3d"),
        ("EndToEndErrorBudgetMediumBurn", "6h"),
        ("EndToEndOutage", "1h"),
        ("DeadLettersGrowing", "1d"),
        ("ServiceNotReporting", "6h"),
    ):
        (rule,) = (each for each in group["rules"] if name == each["alert"])
        assert f"from=now-{back}&" in rule["annotations"]["dashboard_url"]


def test_alerts_link_to_a_configured_runbook() -> None:
    config = Config(runbook_url="https://r.example/r.md")
    (group,) = yaml.safe_load(alerts_file(config))["groups"]
    for rule in group["rules"]:
        wanted = f"https://r.example/r.md#{rule['alert'].lower()}"
        assert wanted == rule["annotations"]["runbook_url"]


def test_shares_of_all_windows_count_the_arrivals_that_are_recorded_before_them() -> None:
    rules = [rule.record for rule in make_recordings(Config())]
    shares = [rule for rule in make_recordings(Config()) if ":late_share" in rule.record]

    assert {window.long for window in WINDOWS} <= set(RECORDED_WINDOWS)
    assert len(RECORDED_WINDOWS) == len(shares)
    for rule in shares:
        arrivals = recorded_arrivals(rule.record.rpartition(":late_share")[2])
        # To count them in each query again would take seconds with many groups.
        assert arrivals in rule.expr
        assert rules.index(arrivals) < rules.index(rule.record)


def test_the_operators_resource_has_the_same_groups() -> None:
    config = Config(kubernetes=Kubernetes(namespace="shop", labels={"release": "monitoring"}))
    resource = yaml.safe_load(prometheus_rule_resource(config))
    assert "PrometheusRule" == resource["kind"]
    assert "shop" == resource["metadata"]["namespace"]
    assert "monitoring" == resource["metadata"]["labels"]["release"]
    groups = [
        group
        for made in (recordings_file, alerts_file)
        for group in yaml.safe_load(made(config))["groups"]
    ]
    assert groups == resource["spec"]["groups"]


def test_grafanas_alerting_has_the_same_alerts() -> None:
    (group,) = yaml.safe_load(grafana_alerting(CONFIG))["groups"]
    assert NAMES == [rule["title"] for rule in group["rules"]]
    uids = [rule["uid"] for rule in group["rules"]]
    assert len(uids) == len(set(uids))
    assert "" != group["folder"]
    boards = {f"pipeline-{board.name}": board for board in make_boards(CONFIG)}
    for rule, alert in zip(group["rules"], make_alerts(CONFIG), strict=True):
        query, *beside, condition = rule["data"]
        # The data source may not have the recording rules.
        assert "group_topic:" not in query["model"]["expr"]
        assert "pipeline_objective:" not in query["model"]["expr"]
        assert "prometheus" == query["datasourceUid"]
        assert ("OK", "Error") == (rule["noDataState"], rule["execErrState"])
        assert rule["condition"] == condition["refId"]
        assert "is_number($A)" in condition["model"]["expression"]
        assert alert.wait == rule["for"]
        notes = rule["annotations"]
        assert "$value " not in notes["description"]
        # Without a result of one query, the whole rule would not fire.
        assert all(each["model"]["expr"].endswith(" or on () vector(0)") for each in beside)
        assert (alert.beside is not None) == bool(beside)
        for each in beside:
            assert f'with index $values "{each["refId"]}"' in notes["description"]
        # Grafana does not start if only one of the two is set.
        panels = dict(boards[notes["__dashboardUid__"]].numbered())
        assert alert.panel == title_of(panels[int(notes["__panelId__"])])


def test_grafanas_uids_are_short_and_unique_with_the_longest_prefix() -> None:
    (group,) = yaml.safe_load(grafana_alerting(Config(prefix="x" * 20)))["groups"]
    uids = [rule["uid"] for rule in group["rules"]]
    assert len(uids) == len(set(uids))
    assert all(len(uid) <= 40 for uid in uids)


def test_rule_files_are_the_same_in_every_run() -> None:
    first, second = alerts_file(CONFIG), alerts_file(CONFIG)
    assert first == second
