"""Every panel on a real Prometheus, with the metrics of real runs: none is empty."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import chdir
from math import ceil
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from dashboards.model.board import Board, SignalPanel, title_of
from dashboards.render.dashboard import dashboard_json
from dashboards.render.panels import scope_of
from dashboards.rules.alerts import make_alerts
from dashboards.rules.recordings import make_recordings
from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.broker import EmbeddedBroker
from tests.dashboards.prometheus_server import PrometheusServer, prometheus_server
from tracing import TracedProducer, otlp
from tracing.kafka.connection import Connection
from tracing.lag import LagMonitor
from tracing.metrics.catalog import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

CONFIG = Config()
# What is to be seen when all is well, and when something is not.
SCENARIOS = (
    "steady", "payment-outage", "payment-declines", "poison", "slow-shipping", "stuck-saga",
    "duplicates",
)  # fmt: skip
SHOWN = [
    (board, panel)
    for board in make_boards(CONFIG)
    for _, panel in board.numbered()
    if isinstance(panel, SignalPanel)
]
PANELS = [
    pytest.param(board, panel, id=f"{board.name}: {title_of(panel)}") for board, panel in SHOWN
]


class _Silent:
    def step(self, what: str) -> None: ...

    def placed(self) -> None: ...

    def ended(self, orders: int) -> None: ...


@pytest.fixture(scope="module")
def server(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Prometheus, after a few runs have reported to it."""
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus_server(binaries, folder) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", found.otlp_metrics)
        patch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        with chdir(folder):
            asyncio.run(_runs())
        yield found


async def _runs() -> None:
    async with EmbeddedBroker() as broker:
        servers = broker.bootstrap_servers
        providers = otlp.configure("lag-monitor")
        monitor = LagMonitor(Connection(servers), providers.telemetry("orders"), interval_s=1)
        async with monitor:
            watching = asyncio.create_task(_watch(monitor))
            for scenario in SCENARIOS:
                await run(_options(servers, scenario), _Silent())
            await _refused(servers, providers)
            await asyncio.to_thread(_replay, servers)
            watching.cancel()
            await asyncio.wait({watching})
            await asyncio.to_thread(providers.shutdown)


def _options(servers: str, scenario: str) -> RunOptions:
    return RunOptions(
        load=Load(orders=24, rate=8, seed=1),
        scenario=scenario,
        bootstrap_servers=servers,
        kafka=False,
        http_port=0,
        timeout_s=90,
    )


async def _watch(monitor: LagMonitor) -> None:
    while True:
        await monitor.sweep()
        await asyncio.sleep(1)  # how often a monitor looks


async def _refused(servers: str, providers: otlp.Providers) -> None:
    """Two sends that fail, a while apart: a rate needs two points."""
    bare = AIOKafkaProducer(bootstrap_servers=servers)
    async with TracedProducer(bare, providers.telemetry("orders")) as producer:
        for _ in range(2):
            with pytest.raises(AssertionError, match="partition"):
                await producer.send_and_wait("orders.events", b"v", partition=999)
            await asyncio.sleep(1.5)  # longer than metrics take to be exported


def _replay(servers: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "tracing", "dlq", "replay", "--bootstrap-servers", servers, "--yes"],
        check=True,
        capture_output=True,
        env={**os.environ, "OTEL_SERVICE_NAME": "dlq"},
    )


def _as_grafana_sends(query: str, window: str = "2m", **chosen: str) -> str:
    """A query with its variables replaced: by what is chosen, or by all."""
    query = re.sub(r"\$(__rate_interval|__range|interval)\b", window, query)
    return re.sub(r'"\$([a-z]+)"', lambda found: f'"{chosen.get(found[1], ".*")}"', query)


def _asked(board: Board, panel: SignalPanel, server: PrometheusServer, **chosen: str) -> list[str]:
    """The queries of a panel, as Grafana would send them for all the time there are metrics of."""
    scope = scope_of(panel, board, CONFIG)
    window = f"{ceil(server.age_s())}s"
    return [_as_grafana_sends(signal.expr(scope), window, **chosen) for signal in panel.signals]


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_every_query_of_every_panel_shows_something(
    board: Board, panel: SignalPanel, server: PrometheusServer
) -> None:
    for query in _asked(board, panel, server):
        found = server.query(query)
        assert found, query
        assert any(series["value"][1] != "NaN" for series in found), query


@pytest.mark.parametrize("board", make_boards(CONFIG), ids=lambda board: board.name)
def test_variables_have_something_to_choose_and_marks_can_be_asked_for(
    board: Board, server: PrometheusServer
) -> None:
    document = json.loads(dashboard_json(board, CONFIG))
    for variable in document["templating"].get("list", ()):
        if "query" == variable["type"]:
            selector, label = re.fullmatch(
                r"label_values\((\{.*\}), (\w+)\)", variable["query"]
            ).groups()  # type: ignore[union-attr]  # it is of this form
            assert server.query(f'count by ({label}) ({selector[:-1]}, {label}!=""}})'), variable
    for mark in document["annotations"].get("list", ()):
        if "expr" in mark:
            server.query(_as_grafana_sends(mark["expr"]))


def test_services_that_only_listen_and_groups_from_outside_can_be_chosen(
    server: PrometheusServer,
) -> None:
    found = {each["metric"]["job"] for each in server.query("pipeline_telemetry_dropped_total")}
    assert {"observer", "analytics", "lag-monitor"} <= found


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"service": "analytics"},
        {"service": "payment"},
        {"destination": "shipping[.]commands"},
        {"group": "observer"},
    ],
    ids=str,
)
def test_every_arrow_of_the_map_begins_and_ends_at_a_node(
    chosen: dict[str, str], server: PrometheusServer
) -> None:
    board, panel = next(each for each in SHOWN if each[1].kind == "graph")
    edges, nodes = (server.query(query) for query in _asked(board, panel, server, **chosen))
    ends = {edge["metric"][end] for edge in edges for end in ("source", "target")}
    ids = [node["metric"]["id"] for node in nodes]
    assert ends
    assert ends <= set(ids)
    assert len(ids) == len(set(ids))


def test_choosing_a_service_does_not_hide_what_is_seen_from_outside(
    server: PrometheusServer,
) -> None:
    for board, panel in SHOWN:
        if "overview" == board.name and title_of(panel) in {
            "Overdue sagas", "Failed sagas", "Stalled or dead groups",
        }:  # fmt: skip
            for query in _asked(board, panel, server, service="payment"):
                assert server.query(query), query


def test_metrics_are_called_as_the_catalogue_says(server: PrometheusServer) -> None:
    names = server.names()
    for metric in METRICS:
        wanted = f"{metric.prometheus}_count" if metric.kind == "histogram" else metric.prometheus
        assert wanted in names


def test_points_lead_to_traces(server: PrometheusServer) -> None:
    found = server.exemplars("pipeline_end_to_end_duration_seconds_bucket")
    assert found
    assert all(len(exemplar["labels"]["trace_id"]) == 32 for exemplar in found)


@pytest.mark.parametrize("rule", make_recordings(CONFIG), ids=lambda rule: rule.record)
def test_every_recording_rule_gives_something(rule: object, server: PrometheusServer) -> None:
    assert server.query(getattr(rule, "expr"))  # noqa: B009 - typed as an object by the table


@pytest.mark.parametrize("rule", make_alerts(CONFIG, recorded=False), ids=lambda rule: rule.name)
def test_every_alert_can_be_asked(rule: object, server: PrometheusServer) -> None:
    server.query(getattr(rule, "expr"))  # noqa: B009 - as above
