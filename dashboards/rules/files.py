"""Rules as files: for Prometheus, and for the Prometheus operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from dashboards.model.labels import RULESET
from dashboards.rules.alerts import make_alerts
from dashboards.rules.annotations import labels_of, notes_of
from dashboards.rules.recordings import make_recordings

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.rule import Recording

_OFTEN: Final = "30s"
# Less than the five minutes for which Prometheus goes on telling the last value.
_SELDOM: Final = "2m"
_HEAD: Final = "# Made by `python -m dashboards generate`; change its configuration instead.\n"


def recordings_file(config: Config) -> str:
    """What Prometheus is to record, as a rule file of its own."""
    return yaml_of({"groups": _recording_groups(config)})


def alerts_file(config: Config) -> str:
    """The alerts for Prometheus; they need what it records."""
    return yaml_of({"groups": [_alert_group(config)]})


def prometheus_rule_resource(config: Config) -> str:
    """Both as a `PrometheusRule` of the Prometheus operator."""
    return yaml_of(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": config.kubernetes.metadata(f"{config.prefix}-rules"),
            "spec": {"groups": [*_recording_groups(config), _alert_group(config)]},
        }
    )


def yaml_of(document: dict[str, Any]) -> str:
    """Write YAML with its origin at its head."""
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


def _recording_groups(config: Config) -> list[dict[str, Any]]:
    rules = make_recordings(config)
    return [
        {
            "name": f"{config.prefix}-recordings-{name}",
            "interval": interval,
            "rules": [_recording(rule, config) for rule in rules if rule.slow == slow],
        }
        for name, interval, slow in (("often", _OFTEN, False), ("seldom", _SELDOM, True))
    ]


def _recording(rule: Recording, config: Config) -> dict[str, Any]:
    # Whose it is: two configurations on one Prometheus would write the same series.
    return {
        "record": rule.record,
        "expr": rule.expr,
        "labels": {**config.selector, RULESET: config.prefix},
    }


def _alert_group(config: Config) -> dict[str, Any]:
    return {
        "name": f"{config.prefix}-alerts",
        "interval": _OFTEN,
        "rules": [
            {
                "alert": alert.name,
                "expr": alert.expr,
                "for": alert.wait,
                "labels": labels_of(alert, config),
                "annotations": notes_of(alert, config),
            }
            for alert in make_alerts(config)
        ],
    }
