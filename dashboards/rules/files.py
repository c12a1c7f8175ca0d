"""Rules as files: for Prometheus, for the Prometheus operator, and for Grafana's own alerting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from dashboards.rules.alerts import alerts
from dashboards.rules.recordings import recordings

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.rules.rule import Alert

_INTERVAL: Final = "30s"
_HEAD: Final = "# Made by `python -m dashboards generate`; change its configuration instead.\n"
_FROM_S: Final = 600


def prometheus_rules(config: Config) -> str:
    """A rule file of Prometheus."""
    return _yaml({"groups": _groups(config)})


def prometheus_rule_resource(config: Config) -> str:
    """The same as a `PrometheusRule` of the Prometheus operator."""
    return _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": f"{config.prefix}-rules",
                "labels": {"app.kubernetes.io/name": "pipeline-tracing"},
            },
            "spec": {"groups": _groups(config)},
        }
    )


def grafana_alerting(config: Config) -> str:
    """The alerts for Grafana's own alerting; they need Prometheus' recording rules as well."""
    return _yaml(
        {
            "apiVersion": 1,
            "groups": [
                {
                    "orgId": 1,
                    "name": f"{config.prefix}-alerts",
                    "folder": config.title,
                    "interval": "1m",
                    "rules": [_managed(alert, config) for alert in alerts(config)],
                }
            ],
        }
    )


def _groups(config: Config) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{config.prefix}-recordings",
            "interval": _INTERVAL,
            "rules": [{"record": rule.record, "expr": rule.expr} for rule in recordings(config)],
        },
        {
            "name": f"{config.prefix}-alerts",
            "interval": _INTERVAL,
            "rules": [
                {
                    "alert": alert.name,
                    "expr": alert.expr,
                    "for": alert.wait,
                    "labels": _labels(alert, config),
                    "annotations": _annotations(alert, config),
                }
                for alert in alerts(config)
            ],
        },
    ]


def _managed(alert: Alert, config: Config) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": config.datasources.prometheus}
    # A query that finds nothing is what should be, except where absence is the alarm: there the
    # query itself finds something.
    return {
        "uid": f"{config.prefix}-{alert.name.lower()}"[:40],
        "title": alert.name,
        "condition": "B",
        "for": alert.wait,
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": _labels(alert, config),
        "annotations": {
            **_annotations(alert, config, value="$values.A.Value"),
            "__dashboardUid__": f"{config.prefix}-{alert.board}",
        },
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": _FROM_S, "to": 0},
                "datasourceUid": config.datasources.prometheus,
                "model": {
                    "refId": "A",
                    "datasource": source,
                    "expr": alert.expr,
                    "instant": True,
                    "range": False,
                },
            },
            {
                "refId": "B",
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "type": "math",
                    "datasource": {"type": "__expr__", "uid": "__expr__"},
                    # Whatever the query gives fires, also the value 0.
                    "expression": "is_number($A) || is_nan($A) || is_inf($A)",
                },
            },
        ],
    }


def _labels(alert: Alert, config: Config) -> dict[str, str]:
    return {**config.labels, "severity": alert.severity}


def _annotations(alert: Alert, config: Config, value: str = "$value") -> dict[str, str]:
    return {
        "summary": alert.summary,
        "description": alert.description.replace("$value", value),
        "dashboard_url": f"{config.grafana_url}/d/{config.prefix}-{alert.board}",
        "runbook_url": f"{config.runbook_url}#{alert.name.lower()}",
    }


def _yaml(document: dict[str, Any]) -> str:
    written = yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)
    return f"{_HEAD}{written}"
