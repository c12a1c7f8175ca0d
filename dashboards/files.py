"""All generated files, below one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from dashboards.boards.all_boards import make_boards
from dashboards.render.dashboard import dashboard_json
from dashboards.rules.files import (
    alerts_file,
    own_alerts_file,
    own_prometheus_rule_resource,
    prometheus_rule_resource,
    recordings_file,
)
from dashboards.rules.grafana import grafana_alerting
from dashboards.rules.inhibition import alertmanager_file, grafana_policies

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.formats import Format


def generated(config: Config, form: Format = "grafana") -> dict[str, str]:
    """Return the contents of all files by path, relative to the output folder.

    Args:
        config: The configuration.
        form: `grafana` makes JSON dashboards and rule files. `configmap` makes a Kubernetes
            ConfigMap for each dashboard, which the sidecar of Grafana's chart loads, and a
            `PrometheusRule`. `provisioning` makes the folders that Grafana reads at its start.
            The user's alerts are a rule file, or a `PrometheusRule`, of their own.
    """
    own = bool(config.own.alerts)
    boards = {f"{board.name}.json": dashboard_json(board, config) for board in make_boards(config)}
    if form == "configmap":
        return {
            **{
                f"{name.removesuffix('.json')}.configmap.yaml": _config_map(name, text, config)
                for name, text in boards.items()
            },
            "rules.yaml": prometheus_rule_resource(config),
            **({"own-rules.yaml": own_prometheus_rule_resource(config)} if own else {}),
        }
    if form == "provisioning":
        return {
            f"dashboards/{config.prefix}.yaml": _provider(config),
            **{f"dashboards/{config.prefix}/{name}": text for name, text in boards.items()},
            f"alerting/{config.prefix}.yaml": grafana_alerting(config),
        }
    return {
        **boards,
        "rules/recordings.yaml": recordings_file(config),
        "rules/alerts.yaml": alerts_file(config),
        **({"rules/own-alerts.yaml": own_alerts_file(config)} if own else {}),
        "rules/grafana-alerting.yaml": grafana_alerting(config),
        "rules/prometheusrule.yaml": prometheus_rule_resource(config),
        **({"rules/own-prometheusrule.yaml": own_prometheus_rule_resource(config)} if own else {}),
        "rules/alertmanager.yaml": alertmanager_file(config),
        "rules/grafana-policies.yaml": grafana_policies(config),
    }


def _config_map(name: str, dashboard: str, config: Config) -> str:
    metadata = config.kubernetes.metadata(f"{config.prefix}-{name.removesuffix('.json')}")
    metadata["labels"]["grafana_dashboard"] = "1"
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {f"{config.prefix}-{name}": dashboard},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _provider(config: Config) -> str:
    document = {
        "apiVersion": 1,
        "providers": [
            {
                "name": config.prefix,
                "folder": config.title,
                "type": "file",
                "allowUiUpdates": False,
                "options": {"path": f"/etc/grafana/provisioning/dashboards/{config.prefix}"},
            }
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)
