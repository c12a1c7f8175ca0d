"""One dead service makes few notifications: causes silence symptoms, and nothing more urgent."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import yaml

from dashboards.config import Config
from dashboards.rules.alerts import make_alerts
from dashboards.rules.inhibition import INHIBITIONS, alertmanager_file, grafana_policies

CONFIG = Config(labels={"team": "shop"})
ALERTS = {alert.name: alert for alert in make_alerts(CONFIG)}
VALUES = {
    "pipeline": "orders", "objective": "end-to-end", "job": "payment", "saga": "place-order",
    "messaging_consumer_group_name": "payment", "messaging_destination_name": "payment.commands",
}  # fmt: skip
# What fires within an hour of the death of the service that charges cards, in this order.
DEAD_SERVICE = (
    "EndToEndOutage", "ConsumerStalled", "SagaOverdue", "EndToEndErrorBudgetFastBurn",
    "ServiceNotReporting", "ConsumerLagGrowing", "HotPartition", "EndToEndErrorBudgetMediumBurn",
    "EndToEndErrorBudgetSlowBurn",
)  # fmt: skip


def _labels(name: str, **other: str) -> dict[str, str]:
    values = {**VALUES, **other}
    own = {label: values[label] for label in ALERTS[name].labels}
    return {"alertname": name, "team": "shop", **own}


def _matches(matchers: list[str], labels: dict[str, str]) -> bool:
    for matcher in matchers:
        label, how, value = re.fullmatch(r'(\w+)(=~?)"(.*)"', matcher).groups()  # type: ignore[union-attr]  # the generated form
        pattern = value if how == "=~" else re.escape(value)
        if not re.fullmatch(pattern, labels.get(label, "")):
            return False
    return True


def _audible(firing: list[dict[str, str]]) -> set[str]:
    """Return the names of the alerts that no rule silences, by Alertmanager's definition."""
    rules: list[dict[str, Any]] = yaml.safe_load(alertmanager_file(CONFIG))["inhibit_rules"]
    return {
        target["alertname"]
        for target in firing
        if not any(
            _matches(rule["target_matchers"], target)
            and _matches(rule["source_matchers"], source)
            and all(source.get(label, "") == target.get(label, "") for label in rule["equal"])
            for rule in rules
            for source in firing
        )
    }


def test_a_dead_service_makes_three_notifications_at_any_moment() -> None:
    firing = [_labels(name) for name in DEAD_SERVICE]
    assert {"ConsumerStalled", "SagaOverdue", "ServiceNotReporting"} == _audible(firing)
    for count in range(1, len(firing) + 1):
        assert len(_audible(firing[:count])) <= 3


def test_the_dead_consumer_of_a_pipeline_does_not_silence_another_pipeline() -> None:
    firing = [_labels("ConsumerStalled"), _labels("EndToEndOutage", pipeline="returns")]
    assert {"ConsumerStalled", "EndToEndOutage"} == _audible(firing)


def test_a_cause_silences_only_alerts_that_are_no_more_urgent_and_have_its_labels() -> None:
    for rule in INHIBITIONS:
        cause = ALERTS[rule.cause]
        for name in rule.symptoms:
            assert "critical" == cause.severity or "warning" == ALERTS[name].severity, rule
            # Alertmanager takes two missing labels for equal.
            assert set(rule.same) <= set(cause.labels) & set(ALERTS[name].labels), rule


def test_of_the_budget_alerts_the_fastest_one_speaks() -> None:
    burns = [name for name in ALERTS if name.startswith("EndToEnd")]
    for faster, slower in pairwise(burns):
        assert {faster} == _audible([_labels(faster), _labels(slower)])


def test_every_alert_has_a_route_and_critical_ones_have_another_receiver() -> None:
    document = yaml.safe_load(alertmanager_file(CONFIG))
    (route,) = document["route"]["routes"]
    (pages,) = route["routes"]
    assert all(_matches(route["matchers"], {"alertname": name}) for name in ALERTS)
    assert ['severity="critical"'] == pages["matchers"]
    assert pages["receiver"] != route["receiver"]
    names = {each["name"] for each in document["receivers"]}
    assert {pages["receiver"], route["receiver"]} == names


def test_grafana_groups_the_alerts_of_a_severity() -> None:
    (policy,) = yaml.safe_load(grafana_policies(CONFIG))["policies"]
    assert ["grafana_folder", "severity", "team"] == policy["group_by"]
