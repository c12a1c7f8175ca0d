"""The alerts as a provisioning file for Grafana's own alerting."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from dashboards.rules.alerts import added_alerts, built_in_alerts
from dashboards.rules.annotations import BESIDE, annotations_of, labels_of, panel_of
from dashboards.rules.files import yaml_of

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.rule import Alert

_QUERY_RANGE_S: Final = 600
_UID_MAX: Final = 40
_DIGEST: Final = 8


def grafana_alerting(config: Config) -> str:
    """Return the file.

    Its queries do not use recorded series: without the recording rules, they would return nothing,
    and the alerts would never fire.
    """
    return yaml_of(
        {
            "apiVersion": 1,
            "groups": [
                {
                    "orgId": 1,
                    "name": f"{config.prefix}-{name}",
                    "folder": config.title,
                    "interval": "1m",
                    "rules": [_rule(alert, config) for alert in alerts],
                }
                for name, alerts in (
                    ("alerts", built_in_alerts(config, recorded=False)),
                    ("own-alerts", added_alerts(config)),
                )
                if alerts
            ],
        }
    )


def _rule(alert: Alert, config: Config) -> dict[str, Any]:
    queries = [_query("A", alert.expr, config)]
    if alert.beside is not None:
        # One query without a result is no data for the whole rule, which then does not fire.
        queries.append(_query(BESIDE, f"{alert.beside.query} or on () vector(0)", config))
    # No data is normal, so it must not fire. Alerts on absence use queries that return a value.
    return {
        "uid": _uid(alert, config),
        "title": alert.name,
        "condition": "B",
        "for": alert.wait,
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": labels_of(alert, config),
        "annotations": {
            **annotations_of(alert, config, value="$values.A.Value"),
            # Grafana does not start if only one of the two is set.
            "__dashboardUid__": f"{config.prefix}-{alert.board}",
            "__panelId__": str(panel_of(alert, config)),
        },
        "data": [
            *queries,
            {
                "refId": "B",
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "type": "math",
                    "datasource": {"type": "__expr__", "uid": "__expr__"},
                    # Every value fires, 0 included.
                    "expression": "is_number($A) || is_nan($A) || is_inf($A)",
                },
            },
        ],
    }


def _query(name: str, expr: str, config: Config) -> dict[str, Any]:
    source = config.datasources.prometheus
    return {
        "refId": name,
        "relativeTimeRange": {"from": _QUERY_RANGE_S, "to": 0},
        "datasourceUid": source,
        "model": {
            "refId": name,
            "datasource": {"type": "prometheus", "uid": source},
            "expr": expr,
            "instant": True,
            "range": False,
        },
    }


def _uid(alert: Alert, config: Config) -> str:
    """Return a uid that Grafana accepts: one that is too long ends with a digest instead."""
    uid = f"{config.prefix}-{alert.name.lower()}"
    if len(uid) <= _UID_MAX:
        return uid
    digest = hashlib.sha256(uid.encode()).hexdigest()[:_DIGEST]
    return f"{uid[: _UID_MAX - _DIGEST - 1]}-{digest}"
