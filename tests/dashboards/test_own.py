"""Signals, panels, alerts and dashboards that users add in the configuration."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from dashboards.cli.main import cli
from dashboards.config import load_config
from dashboards.files import generated
from tests.dashboards.guide import guide_block

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = guide_block("own:")
ADDED: dict[str, Any] = yaml.safe_load(EXAMPLE)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(f"selector: {{cluster: eu}}\nprefix: shop\n{EXAMPLE}")
    return file


def test_the_example_of_the_guide_adds_a_panel_and_a_dashboard(config_file: Path) -> None:
    files = generated(load_config(config_file))
    service, carts = json.loads(files["service.json"]), json.loads(files["carts.json"])
    assert "shop-carts" == carts["uid"]
    for board in (service, carts):
        row, panel = board["panels"][-2:]
        assert ("row", "Carts") == (row["type"], row["title"])
        assert "Carts left behind" == panel["title"]
        (target,) = panel["targets"]
        assert 'carts_abandoned_total{cluster="eu", job=~"$service"}' in target["expr"]
        assert "$window" not in target["expr"]
    numbers = [panel["id"] for panel in service["panels"] if "row" != panel["type"]]
    assert len(numbers) == len(set(numbers))


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_example_of_the_guide_adds_an_alert(
    config_file: Path, binaries: Path, tmp_path: Path
) -> None:
    files = generated(load_config(config_file))
    rules = tmp_path / "alerts.yaml"
    rules.write_text(files["rules/own-alerts.yaml"])
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": f'carts_left{{cluster="{cluster}", job="shop"}}',
                        "values": values,
                    }
                    for cluster, values in (("eu", "0x20 101x40"), ("us", "101x60"))
                ],
                "promql_expr_test": [
                    {
                        "expr": 'ALERTS{alertname="ManyCartsLeft"}',
                        "eval_time": at,
                        "exp_samples": [
                            {
                                "labels": 'ALERTS{alertname="ManyCartsLeft", alertstate="firing", '
                                'cluster="eu", job="shop", severity="warning"}',
                                "value": 1,
                            }
                        ][:firing],
                    }
                    for at, firing in (("15m", 0), ("40m", 1))
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(test))
    done = subprocess.run(
        [binaries / "promtool", "test", "rules", tmp_path / "test.yaml"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_alert_of_a_user_links_to_its_panel_and_to_its_runbook(config_file: Path) -> None:
    files = generated(load_config(config_file))
    (group,) = yaml.safe_load(files["rules/own-alerts.yaml"])["groups"]
    (rule,) = group["rules"]
    notes = rule["annotations"]
    assert "ManyCartsLeft" == rule["alert"]
    assert "/d/shop-carts?" in notes["dashboard_url"]
    assert "var-service={{ $labels.job | urlquery }}" in notes["dashboard_url"]
    number = int(notes["runbook_url"].rpartition("=")[2])
    section = next(
        panel for panel in json.loads(files["runbook.json"])["panels"] if number == panel.get("id")
        and "row" != panel["type"]
    )  # fmt: skip
    assert "ManyCartsLeft" == section["title"]
    assert "payment" in section["options"]["content"]
    grafana = yaml.safe_load(files["rules/grafana-alerting.yaml"])["groups"][-1]["rules"][-1]
    assert "shop-carts" == grafana["annotations"]["__dashboardUid__"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"panels": [{"signal": "x", "board": "service"}]}, "own.panels[0].signal: 'x' must be"),
        ({"panels": [{"signal": "left", "board": "x"}]}, "own.panels[0].board: 'x' must be"),
        ({"panels": [{"signal": "left", "board": "carts", "width": 25}]}, "width must be 1 to 24"),
        (
            {"panels": [{"signal": "left", "board": "carts"}] * 2},
            "own.panels[1]: carts has a panel named 'Carts waiting'",
        ),
        ({"panels": []}, "own.alerts[0].signal: 'left' must be a signal that has a panel"),
        ({"boards": [{"name": "lag", "title": "t", "description": "d"}]}, "own.boards[0].name:"),
        ({"boards": [{"name": "A", "title": "t", "description": "d"}]}, "own.boards[0].name: 'A'"),
        (
            {"boards": [{"name": "carts", "title": "t", "description": "d", "variables": ["x"]}]},
            "own.boards[0].variables: 'x' must be one of service",
        ),
        ({"alerts": [{**ADDED["own"]["alerts"][0], "name": "SagaFailed"}]}, "'SagaFailed' already"),
        ({"alerts": [{**ADDED["own"]["alerts"][0], "name": "a b"}]}, "must be letters and digits"),
        ({"alerts": [{**ADDED["own"]["alerts"][0], "wait": "soon"}]}, "must be one number and"),
        ({"alerts": [{**ADDED["own"]["alerts"][0], "signal": "abandoned"}]}, "have no variables"),
        ({"signals": ADDED["own"]["signals"] * 2}, "each must have a different name"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(json.dumps({"own": {**ADDED["own"], **changed}}))
    result = CliRunner().invoke(cli, ["list", "--config", str(file)])
    assert 2 == result.exit_code
    assert message in result.output
