"""Alerts with the labels that their rules give them, and which of them nothing silences."""

from __future__ import annotations

import re
from typing import Any

import yaml

from dashboards.config import Config
from dashboards.rules.alerts import make_alerts
from dashboards.rules.inhibition import alertmanager_file

CONFIG = Config(selector={"cluster": "eu"}, labels={"team": "shop"})
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


def labels(name: str, **other: str) -> dict[str, str]:
    """Return the labels of an alert that fires; `other` are values in place of the usual ones."""
    values = {**VALUES, **other}
    own = {label: values.get(label, "any") for label in ALERTS[name].labels}
    return {
        "alertname": name,
        "severity": ALERTS[name].severity,
        "team": other.get("team", "shop"),
        "cluster": other.get("cluster", "eu"),
        **({"elsewhere": other["elsewhere"]} if "elsewhere" in other else {}),
        **own,
    }


def matches(matchers: list[str], values: dict[str, str]) -> bool:
    """Return whether labels fit all matchers, by Alertmanager's definition."""
    for matcher in matchers:
        label, how, value = re.fullmatch(r'(\w+)(=~?)"(.*)"', matcher).groups()  # type: ignore[union-attr]  # the generated form
        pattern = value if how == "=~" else re.escape(value)
        if not re.fullmatch(pattern, values.get(label, "")):
            return False
    return True


def audible(firing: list[dict[str, str]]) -> set[str]:
    """Return the names of the alerts that no rule silences, by Alertmanager's definition."""
    rules: list[dict[str, Any]] = yaml.safe_load(alertmanager_file(CONFIG))["inhibit_rules"]
    return {
        target["alertname"]
        for target in firing
        if not any(
            matches(rule["target_matchers"], target)
            and matches(rule["source_matchers"], source)
            and all(source.get(label, "") == target.get(label, "") for label in rule["equal"])
            for rule in rules
            for source in firing
        )
    }
