"""Rules: promtool takes them, alerts fire when they should and only then, and people find help."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import dashboards
from dashboards.boards.all_boards import all_boards
from dashboards.config import Config
from dashboards.rules.alerts import alerts
from dashboards.rules.files import grafana_alerting, prometheus_rule_resource, prometheus_rules
from tests.dashboards.alert_cases import CASES, Case

CONFIG = Config()
RUNBOOK = Path(dashboards.__file__).parent / "runbook.md"
NAMES = [alert.name for alert in alerts(CONFIG)]


def _promtool(binaries: Path, *arguments: str | Path) -> None:
    done = subprocess.run(
        [binaries / "promtool", *arguments], check=False, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_promtool_takes_the_rules(binaries: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(prometheus_rules(CONFIG))
    _promtool(binaries, "check", "rules", "--lint-fatal", file)


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.about}")
def test_an_alert_fires_when_it_should_and_only_then(
    case: Case, binaries: Path, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(prometheus_rules(CONFIG))
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}}) or vector(0)'
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": series, "values": values} for series, values in case.series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": firing,
                        "eval_time": case.at,
                        "exp_samples": [{"labels": "{}", "value": case.firing}],
                    }
                ],
            }
        ],
    }
    test = tmp_path / "test.yaml"
    test.write_text(json.dumps(document))
    _promtool(binaries, "test", "rules", test)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    for wanted in (0, 1):
        assert set(NAMES) == {case.alert for case in CASES if case.firing == wanted}


def test_every_alert_has_its_section_in_the_runbook() -> None:
    sections = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    assert NAMES == [section.splitlines()[0] for section in sections]
    for section in sections:
        for part in ("**Meaning.**", "**First look.**", "**Mend.**"):
            assert 1 == section.count(part), section


def test_alerts_lead_to_a_dashboard_and_to_the_runbook() -> None:
    boards = {board.name for board in all_boards(CONFIG)}
    config = Config(
        grafana_url="https://g.example", runbook_url="https://r.example/r.md",
        labels={"team": "shop"}, prefix="shop",
    )  # fmt: skip
    rules = yaml.safe_load(prometheus_rules(config))["groups"][1]["rules"]
    assert {alert.board for alert in alerts(CONFIG)} <= boards
    for rule in rules:
        assert rule["labels"] == {"team": "shop", "severity": rule["labels"]["severity"]}
        notes = rule["annotations"]
        assert notes["dashboard_url"].startswith("https://g.example/d/shop-")
        assert f"https://r.example/r.md#{rule['alert'].lower()}" == notes["runbook_url"]
        assert notes["summary"]
        assert notes["description"].endswith(".")


def test_the_operators_resource_has_the_same_groups() -> None:
    resource = yaml.safe_load(prometheus_rule_resource(CONFIG))
    assert "PrometheusRule" == resource["kind"]
    assert yaml.safe_load(prometheus_rules(CONFIG))["groups"] == resource["spec"]["groups"]


def test_grafanas_own_alerting_has_the_same_alerts() -> None:
    (group,) = yaml.safe_load(grafana_alerting(CONFIG))["groups"]
    assert NAMES == [rule["title"] for rule in group["rules"]]
    uids = [rule["uid"] for rule in group["rules"]]
    assert len(uids) == len(set(uids))
    for rule, alert in zip(group["rules"], alerts(CONFIG), strict=True):
        query, condition = rule["data"]
        assert alert.expr == query["model"]["expr"]
        assert rule["condition"] == condition["refId"]
        assert "$value " not in rule["annotations"]["description"]


def test_what_is_written_does_not_change_from_run_to_run() -> None:
    written: list[Any] = [prometheus_rules(CONFIG) for _ in range(2)]
    assert written[0] == written[1]
