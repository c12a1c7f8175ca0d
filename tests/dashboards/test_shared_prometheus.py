"""Clusters or shops on one Prometheus: a label keeps their series apart, as the guide says."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import pytest
import yaml

from dashboards.config import Config
from dashboards.rules.files import alerts_file, recordings_file
from tests.dashboards.guide import guide_block
from tests.dashboards.prometheus_server import prometheus_server

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

LABEL: Final = "k8s_cluster_name"
SEPARATE: Final = tuple(Config(prefix=name, selector={LABEL: name}) for name in ("eu", "us"))
_GROUP: Final = 'messaging_consumer_group_name="g"'
_HOP: Final = f'{_GROUP}, messaging_destination_name="t"'
_STEPS: Final = 180


def _turns(series: str, bad: str, good: str) -> dict[str, str]:
    """Return two series: the cluster eu is badly off, and us, half a minute later, is well."""
    name, _, labels = series.partition("{")
    return {
        f'{name}{{{LABEL}="{cluster}", job="{cluster}", {labels}': values
        for cluster, values in (("eu", f"{bad} _ " * (_STEPS // 2)),
                                ("us", f"_ {good} " * (_STEPS // 2)))
    }  # fmt: skip


def _grows() -> dict[str, str]:
    both = _turns(f"pipeline_consumer_lag_time_seconds{{{_HOP}}}", "0", "0")
    eu, _ = both
    return {**both, eu: " ".join(f"{400 + 30 * step} _" for step in range(_STEPS // 2))}


ALTERNATE: Final[Mapping[str, dict[str, str]]] = {
    "RetentionNearlyUsed": _turns(f"pipeline_consumer_retention_used_ratio{{{_HOP}}}", "0.95", "0"),
    "OutboxStuck": {
        f'pipeline_outbox_oldest_age_seconds{{{LABEL}="{cluster}", job="orders"}}': values
        for cluster, values in (("eu", "4000 _ " * 90), ("us", "_ 0 " * 90))
    },
    "DeadLetterAgeHigh": _turns(f"pipeline_dead_letters_oldest_age_seconds{{{_HOP}}}", "2e5", "0"),
    "SagaOverdue": _turns('pipeline_saga_overdue{saga="s", pipeline="p"}', "50", "0"),
    "ConsumerLagGrowing": _grows(),
    "HotPartition": _turns(f'pipeline_consumer_cause{{{_GROUP}, cause="one_partition"}}', "1", "0"),
    "GroupStatusUnknown": _turns(
        f'pipeline_consumer_status{{{_GROUP}, status="unknown"}}', "1", "0"
    ),
    "CommandReadTwice": _turns(
        'pipeline_command_readers{messaging_destination_name="t"}', "2", "1"
    ),
}
"""By alert, what it is about in one cluster, where the other one has groups of the same names."""


@pytest.mark.parametrize("name", ALTERNATE)
def test_an_alert_fires_for_one_of_two_clusters_that_a_label_tells_apart(
    name: str, binaries: Path, tmp_path: Path
) -> None:
    assert ["eu"] == _firing(name, SEPARATE, binaries, tmp_path)


@pytest.mark.parametrize("name", ALTERNATE)
def test_the_guide_names_the_alerts_that_do_not_fire_without_that(
    name: str, binaries: Path, tmp_path: Path
) -> None:
    assert [] == _firing(name, (Config(),), binaries, tmp_path)
    guide = Path(__file__).parents[2] / "docs" / "guides" / "dashboards.md"
    _, _, section = guide.read_text().partition("## Several clusters or shops on one Prometheus")
    assert name in section.partition("\n## ")[0]


def _firing(name: str, configs: tuple[Config, ...], binaries: Path, folder: Path) -> list[str]:
    """Return the clusters that the alert fires for after an hour."""
    files = []
    for config in configs:
        (group,) = yaml.safe_load(alerts_file(config))["groups"]
        (rule,) = (rule for rule in group["rules"] if name == rule["alert"])
        needed = [
            {**recordings, "rules": [each]}
            for recordings in yaml.safe_load(recordings_file(config))["groups"]
            for each in recordings["rules"]
            if f"{each['record']}{{" in rule["expr"]
        ]
        groups = [
            {**each, "name": f"{number}"}
            for number, each in enumerate([*needed, {**group, "rules": [rule]}])
        ]
        files.append(folder / f"{config.prefix}.yaml")
        files[-1].write_text(yaml.safe_dump({"groups": groups}))
    firing = f'count by ({LABEL}) (ALERTS{{alertname="{name}", alertstate="firing"}})'
    document = {
        "rule_files": [str(file) for file in files],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": k, "values": v} for k, v in ALTERNATE[name].items()],
                "promql_expr_test": [
                    {
                        "expr": firing,
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": -1}],
                    }
                    for at in ("60m", "60m30s")
                ],
            }
        ],
    }
    test = folder / "test.yaml"
    test.write_text(json.dumps(document))
    done = subprocess.run(
        [binaries / "promtool", "test", "rules", test], check=False, capture_output=True, text=True
    )
    assert "got:" in done.stdout + done.stderr, done.stdout + done.stderr
    return sorted(set(re.findall(rf'{LABEL}="(\w+)"', done.stdout + done.stderr)))


def test_a_promoted_attribute_of_the_resource_is_the_label_that_the_guide_selects(
    binaries: Path, tmp_path: Path
) -> None:
    promoted = yaml.safe_load(guide_block("otlp:"))["otlp"]["promote_resource_attributes"]
    selector = yaml.safe_load(guide_block("# eu[.]yaml"))["selector"]
    assert {LABEL: "eu"} == selector
    point = {"asInt": "3", "timeUnixNano": str(time.time_ns())}
    attributes = {"service.name": "lag", "k8s.cluster.name": "eu"}
    resource = {
        "resource": {
            "attributes": [
                {"key": key, "value": {"stringValue": value}} for key, value in attributes.items()
            ]
        },
        "scopeMetrics": [
            {"metrics": [{"name": "pipeline.consumer.lag", "gauge": {"dataPoints": [point]}}]}
        ],
    }
    (matcher,) = (f'{label}="{value}"' for label, value in selector.items())
    for attributes_of_series, found in ((promoted, 1), ([], 0)):
        folder = tmp_path / f"{found}"
        folder.mkdir()
        with prometheus_server(binaries, folder, promoted=attributes_of_series) as server:
            sent = httpx.post(server.otlp_metrics, json={"resourceMetrics": [resource]})
            assert sent.is_success, sent.text
            assert 1 == len(server.query("pipeline_consumer_lag"))
            assert found == len(server.query(f"pipeline_consumer_lag{{{matcher}}}"))
