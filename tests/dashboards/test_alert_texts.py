"""What Prometheus finds and writes into the text of an alert: the step that is to blame."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dashboards.config import Config, Objective
from dashboards.rules.alerts import make_alerts
from dashboards.rules.annotations import annotations_of
from dashboards.rules.files import recordings_file
from dashboards.rules.grafana import grafana_alerting
from tests.dashboards.promtool import check_queries

if TYPE_CHECKING:
    from pathlib import Path

    from dashboards.model.rule import Alert

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

CONFIG = Config(selector={"cluster": "100 % eu"})
ALERTS = {alert.name: alert for alert in make_alerts(CONFIG)}
EU = 'cluster="100 % eu"'


def _text(
    alert: Alert,
    series: dict[str, str],
    labels: dict[str, str],
    binaries: Path,
    folder: Path,
    config: Config = CONFIG,
) -> str:
    """Return the description of an alert that fires with these labels, without its own text."""
    found = annotations_of(alert, config)["description"].removeprefix(alert.description)
    assert found
    expr = "vector(1)"
    for label, value in labels.items():
        expr = f'label_replace({expr}, {json.dumps(label)}, {json.dumps(value)}, "", "")'
    rule = {"alert": "A", "expr": expr, "annotations": {"found": f"<{found}>"}}
    rules: dict[str, Any] = yaml.safe_load(recordings_file(config))
    rules["groups"].append({"name": "alerts", "rules": [rule]})
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "alert_rule_test": [{"eval_time": "60m", "alertname": "A", "exp_alerts": []}],
            }
        ],
    }
    (folder / "test.yaml").write_text(json.dumps(test))
    done = subprocess.run(
        [binaries / "promtool", "test", "rules", folder / "test.yaml"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    # promtool prints what it got, since no alert was expected.
    _, _, rest = (done.stdout + done.stderr).partition("<")
    return rest.partition(">")[0]


def _hop(group: str, seconds: str) -> dict[str, str]:
    hop = f'messaging_consumer_group_name="{group}", messaging_destination_name="{group}.commands"'
    return {
        f'pipeline_end_to_end_duration_seconds_count{{{EU}, pipeline="p", {hop}}}': "0+30x200",
        f"pipeline_consumer_lag_time_seconds{{{EU}, {hop}}}": seconds,
    }


@pytest.mark.parametrize(
    "name", [name for name in ALERTS if name.startswith(("EndToEndOutage", "EndToEndError"))]
)
def test_an_alert_on_the_budget_names_the_hop_that_holds_its_pipeline_up(
    name: str, binaries: Path, tmp_path: Path
) -> None:
    series = {**_hop("payment", "90x200"), **_hop("shipping", "30x200")}
    assert " The longest hold-up is at group payment on payment.commands: 1m 30s." == _text(
        ALERTS[name], series, {"pipeline": "p", "objective": "end-to-end"}, binaries, tmp_path
    )


def test_an_alert_on_the_budget_names_the_group_that_gives_up_and_none_that_is_in_time(
    binaries: Path, tmp_path: Path
) -> None:
    where = f'{EU}, messaging_consumer_group_name="payment"'
    topic = 'messaging_destination_name="payment.commands", error_type="E"'
    series = {
        **_hop("payment", "0x200"),
        **_hop("shipping", "2x200"),
        f'pipeline_dead_letters_total{{{where}, {topic}, pipeline="p"}}': "0x100 0+20x100",
        f'pipeline_dead_letters_total{{{where}, {topic}, pipeline="o"}}': "0x100 0+70x100",
    }
    labels = {"pipeline": "p", "objective": "end-to-end"}
    assert " Within 5m, group payment gave up on 200 records of payment.commands." == _text(
        ALERTS["EndToEndOutage"], series, labels, binaries, tmp_path
    )


def test_an_alert_on_the_budget_names_the_sagas_that_became_overdue(
    binaries: Path, tmp_path: Path
) -> None:
    saga = f'{EU}, pipeline="p", saga="place-order"'
    series = {
        **_hop("payment", "0x200"),
        f"pipeline_saga_overdue{{{saga}}}": "0x100 0+3x100",
        f'pipeline_saga_ended_total{{{saga}, outcome="completed"}}': "0+1x200",
    }
    labels = {"pipeline": "p", "objective": "end-to-end"}
    assert " Of the sagas place-order, 75% became overdue." == _text(
        ALERTS["EndToEndOutage"], series, labels, binaries, tmp_path
    )


def test_an_alert_names_no_hop_of_another_pipeline(binaries: Path, tmp_path: Path) -> None:
    series = _hop("payment", "90x200")
    labels = {"pipeline": 'o"ther', "objective": "end-to-end"}
    assert "" == _text(ALERTS["EndToEndOutage"], series, labels, binaries, tmp_path)


def test_an_alert_names_no_hop_of_a_side_branch_of_its_objective(
    binaries: Path, tmp_path: Path
) -> None:
    objective = Objective(name="delivered", group="shipping")
    config = Config(selector=CONFIG.selector, objectives=(objective, Objective()))
    alert = next(each for each in make_alerts(config) if "EndToEndOutage" == each.name)
    series = {**_hop("archive", "90x200"), **_hop("shipping", "30x200")}
    for name, group, seconds in (
        ("delivered", "shipping", "30s"),
        ("end-to-end", "archive", "1m 30s"),
    ):
        labels = {"pipeline": "p", "objective": name}
        assert f" The longest hold-up is at group {group} on {group}.commands: {seconds}." == _text(
            alert, series, labels, binaries, tmp_path, config
        )


def test_alerts_of_a_group_of_several_pipelines_say_which_one() -> None:
    for name in ("ConsumerStalled", "SagaOverdue"):
        assert "{{ with $labels.pipeline }} (pipeline {{ . }}){{ end }}" in ALERTS[name].summary


def test_the_alert_on_overdue_sagas_names_the_step_that_they_wait_for(
    binaries: Path, tmp_path: Path
) -> None:
    series = {
        f'pipeline_saga_state_oldest_age_seconds{{{EU}, pipeline="{pipeline}", saga="{saga}", '
        f'state="{state}"}}': value
        for pipeline, saga, state, value in (
            ("orders", "place-order", "charge-card", "600x200"),
            ("orders", "place-order", "ship", "60x200"),
            ("orders", "return", "refund", "9000x200"),
            ("gifts", "place-order", "wrap", "9000x200"),
        )
    }
    series[f'pipeline_saga_overdue{{{EU}, pipeline="orders", saga="place-order"}}'] = "1x200"
    assert " The longest wait is in state charge-card: 10m 0s." == _text(
        ALERTS["SagaOverdue"],
        series,
        {"pipeline": "orders", "saga": "place-order"},
        binaries,
        tmp_path,
    )


def test_grafanas_alerts_have_no_queries_in_their_texts() -> None:
    assert "| query" not in grafana_alerting(CONFIG)


BESIDE = {
    alert.name: alert.beside.query
    for alert in make_alerts(CONFIG, recorded=False)
    if alert.beside is not None
}
OF_TWO_SAGAS = {
    f'pipeline_saga_state_oldest_age_seconds{{{EU}, pipeline="p", saga="{saga}", '
    f'state="{state}"}}': value
    for saga, state, value in (
        ("place-order", "charge-card", "600x200"),
        ("place-order", "ship", "60x200"),
        ("return", "refund", "9000x200"),
        ("idle", "none", "0x200"),
    )
}


def test_the_alerts_with_a_text_that_prometheus_finds_have_a_second_query_in_grafana() -> None:
    assert set(BESIDE) == {name for name, alert in ALERTS.items() if alert.found}


def test_grafanas_second_query_has_one_step_for_each_alert_on_overdue_sagas(
    binaries: Path, tmp_path: Path
) -> None:
    query = BESIDE["SagaOverdue"]
    text = f'label_join({query}, "text", " ", "pipeline", "saga", "state")'
    expected: list[tuple[str, float | None]] = [(f"count({query})", 2)]
    for steps, seconds in (("p place-order charge-card", 600), ("p return refund", 9000)):
        only = f'label_replace(vector(1), "text", "{steps}", "", "")'
        expected.append((f"sum({text} and on (text) {only})", seconds))
    check_queries(expected, OF_TWO_SAGAS, binaries, tmp_path)


@pytest.mark.parametrize("name", [name for name in BESIDE if "SagaOverdue" != name])
def test_grafanas_second_query_has_one_hop_for_each_alert_on_the_budget(
    name: str, binaries: Path, tmp_path: Path
) -> None:
    query = BESIDE[name]
    labels = "pipeline, objective, messaging_consumer_group_name, messaging_destination_name"
    check_queries(
        [
            (f"count(count by ({labels}) ({query}))", 1),
            (f"sum({query})", 90),
        ],
        {**_hop("payment", "90x200"), **_hop("shipping", "30x200")}, binaries, tmp_path,
    )  # fmt: skip


@pytest.mark.parametrize("name", list(BESIDE))
def test_grafanas_second_query_has_a_result_without_labels_if_there_is_nothing(
    name: str, binaries: Path, tmp_path: Path
) -> None:
    (group,) = yaml.safe_load(grafana_alerting(CONFIG))["groups"]
    (rule,) = (rule for rule in group["rules"] if name == rule["title"])
    query = rule["data"][1]["model"]["expr"]
    check_queries([(query, 0.0)], {f"up{{{EU}}}": "1x200"}, binaries, tmp_path)
