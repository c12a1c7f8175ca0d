"""The alerts for Grafana's own alerting, as a file that it is provisioned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dashboards.model.board import title_of
from dashboards.rules.alerts import make_alerts
from dashboards.rules.annotations import board_of, labels_of, notes_of
from dashboards.rules.files import yaml_of

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.rule import Alert

_FROM_S: Final = 600


def grafana_alerting(config: Config) -> str:
    """Make the file.

    It needs nothing that Prometheus records: where that is missing, a query finds nothing, and an
    alert that finds nothing is silent.
    """
    return yaml_of(
        {
            "apiVersion": 1,
            "groups": [
                {
                    "orgId": 1,
                    "name": f"{config.prefix}-alerts",
                    "folder": config.title,
                    "interval": "1m",
                    "rules": [
                        _rule(alert, config) for alert in make_alerts(config, recorded=False)
                    ],
                }
            ],
        }
    )


def _rule(alert: Alert, config: Config) -> dict[str, Any]:
    source = config.datasources.prometheus
    # A query that finds nothing is what should be, except where absence is the alarm: there the
    # query itself finds something.
    return {
        "uid": f"{config.prefix}-{alert.name.lower()}"[:40],
        "title": alert.name,
        "condition": "B",
        "for": alert.wait,
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": labels_of(alert, config),
        "annotations": {
            **notes_of(alert, config, value="$values.A.Value"),
            # Both or neither: Grafana does not start with one of them.
            "__dashboardUid__": f"{config.prefix}-{alert.board}",
            "__panelId__": str(_panel(alert, config)),
        },
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": _FROM_S, "to": 0},
                "datasourceUid": source,
                "model": {
                    "refId": "A",
                    "datasource": {"type": "prometheus", "uid": source},
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


def _panel(alert: Alert, config: Config) -> int:
    """The number of the panel that shows what the alert is about."""
    return next(
        number
        for number, panel in board_of(alert, config).numbered()
        if title_of(panel) == alert.panel
    )
