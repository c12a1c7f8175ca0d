"""Every panel on a real Prometheus with the metrics of real runs: none is empty."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import chdir
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from dashboards.model.board import Board, SignalPanel, title_of
from dashboards.model.labels import RECORDED_ELSEWHERE
from dashboards.render.dashboard import dashboard_json
from dashboards.render.panels import scope_of
from dashboards.rules.alerts import make_alerts
from dashboards.rules.recordings import make_recordings
from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.broker import EmbeddedBroker
from tests.dashboards.metrics_tee import metrics_tee
from tests.dashboards.prometheus_server import PrometheusServer, prometheus_server
from tracing import TracedConsumer, TracedProducer, otlp
from tracing.kafka.connection import Connection
from tracing.lag import GroupLag, LagMonitor, PartitionLag, RetentionUse, Status, Sweep
from tracing.lag.gauges import LagGauges
from tracing.metrics.catalog import METRICS
from tracing.replay.progress import Account
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dashboards.model.rule import Alert, Recording

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

CONFIG = Config()
NATIVE = Config(native_histograms=True)
# Together, these scenarios fill every panel.
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
def servers(
    binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[PrometheusServer, PrometheusServer]]:
    """Run Prometheus without and with native histograms; both get the metrics of several runs."""
    folders = [tmp_path_factory.mktemp(name) for name in ("classic", "native")]
    with (
        prometheus_server(binaries, folders[0]) as classic,
        prometheus_server(binaries, folders[1], native_histograms=True) as native,
        metrics_tee(classic.otlp_metrics, native.otlp_metrics) as tee,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", tee)
        patch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        with chdir(folders[0]):
            asyncio.run(_runs())
        yield classic, native


@pytest.fixture(scope="module")
def server(servers: tuple[PrometheusServer, PrometheusServer]) -> PrometheusServer:
    """Return the Prometheus as it is by default."""
    return servers[0]


async def _runs() -> None:
    async with EmbeddedBroker() as broker:
        servers = broker.bootstrap_servers
        providers = otlp.configure("lag-monitor")
        monitor = LagMonitor(
            Connection(servers),
            providers.telemetry("orders"),
            interval_s=1,
            command_topics=[".*[.]commands"],
        )
        async with monitor:
            watching = asyncio.create_task(_watch(monitor))
            for scenario in SCENARIOS:
                await run(_options(servers, scenario), _Silent())
            await _refused(servers, providers)
            await _as_on_kafka(providers)
            await _works_off_history(providers)
            await _rebuilds(providers)
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
        await asyncio.sleep(1)  # the interval of the lag monitor


async def _refused(servers: str, providers: otlp.Providers) -> None:
    """Fail two sends, one export apart: a rate needs two points."""
    bare = AIOKafkaProducer(bootstrap_servers=servers)
    async with TracedProducer(bare, providers.telemetry("orders")) as producer:
        for _ in range(2):
            with pytest.raises(AssertionError, match="partition"):
                await producer.send_and_wait("orders.events", b"v", partition=999)
            await asyncio.sleep(1.5)  # longer than the export interval


async def _as_on_kafka(providers: otlp.Providers) -> None:
    """Report what the embedded broker has not: retention, and subscriptions of members."""
    part = PartitionLag(
        "orders.events", 0, 0, 5, 5, 50.0, True, True, Status.LAGGING,
        retention=RetentionUse(0.5, 50.0), lost=1,
    )  # fmt: skip
    left = PartitionLag("old.events", 0, 0, 5, 5, 50.0, True, False, Status.ABANDONED)
    group = GroupLag("retained", "Stable", 1, (part, left), Status.LAGGING)
    metrics = providers.telemetry("orders").metrics
    gauges = LagGauges(metrics, partitions=True, max_series=10)
    gauges.start()
    gauges.show(Sweep(0.0, 0.1, (group,)), valid_s=600)
    await asyncio.sleep(2.5)  # two exports: a rate needs two points


async def _works_off_history(providers: otlp.Providers) -> None:
    """Read old records as a new group, without an end."""
    broker = InMemoryBroker()
    broker.create_topic("orders.events")
    bare = InMemoryConsumer(
        "orders.events", broker=broker, group_id="late", auto_offset_reset="earliest"
    )
    async with InMemoryProducer(broker) as producer:
        for _ in range(9):
            await producer.send_and_wait("orders.events", b"v", partition=0, timestamp_ms=1)
    async with TracedConsumer(bare, providers.telemetry("orders")) as consumer:
        async with consumer.process(await consumer.getone()):
            pass
        await asyncio.sleep(2.5)  # two exports: a rate needs two points


async def _rebuilds(providers: otlp.Providers) -> None:
    """Report a replay of a read model; a whole one takes less than two exports."""
    account = Account(providers.telemetry("orders"), "orders", 2, resumed=False)
    for _ in range(2):
        account.read("applied", 5)
        await asyncio.sleep(1.5)  # longer than the export interval
    account.close()


def _replay(servers: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "tracing", "dlq", "replay", "--bootstrap-servers", servers, "--yes"],
        check=True,
        capture_output=True,
        env={**os.environ, "OTEL_SERVICE_NAME": "dlq"},
    )


def _as_grafana_sends(query: str, window: str = "2m", **chosen: str) -> str:
    """Replace the variables of a query by the chosen values, or by `.*`."""
    query = re.sub(r"\$(__rate_interval|__interval|__range|interval)\b", window, query)
    query = query.replace('"$from"', '"orders.events"').replace('"$to"', '"shipping.events"')
    return re.sub(r'"\$([a-z_]+)"', lambda name: f'"{chosen.get(name[1], ".*")}"', query)


def _queries_of(
    board: Board,
    panel: SignalPanel,
    server: PrometheusServer,
    *,
    config: Config = CONFIG,
    chosen: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return the queries of a panel over the whole time since the server started."""
    scope = scope_of(panel, board, config)
    window = f"{ceil(server.age_s())}s"
    return [_as_grafana_sends(signal.expr(scope), window, **chosen) for signal in panel.signals]


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_every_query_of_every_panel_returns_data(
    board: Board, panel: SignalPanel, server: PrometheusServer
) -> None:
    for query in _queries_of(board, panel, server):
        result = server.query(query)
        assert result, query
        assert any(series["value"][1] != "NaN" for series in result), query


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_with_native_histograms_every_query_of_every_panel_returns_data(
    board: Board, panel: SignalPanel, servers: tuple[PrometheusServer, PrometheusServer]
) -> None:
    _, native = servers
    for query in _queries_of(board, panel, native, config=NATIVE):
        result = native.query(query)
        assert result, query
        assert any(_value(series) != "NaN" for series in result), query


def _may_be_empty(recording: Recording) -> bool:
    """Return whether a recording has no data in a healthy pipeline that is younger than its window.

    The first judges no less than its window; the other needs a halted group and a second fault.
    """
    return ":enough" in recording.record or RECORDED_ELSEWHERE == recording.record


def _value(series: dict[str, Any]) -> str:
    """Return a sample's value, or a native histogram's count."""
    value: str = series["value"][1] if "value" in series else series["histogram"][1]["count"]
    return value


def test_with_native_histograms_every_rule_is_valid_and_every_recording_has_data(
    servers: tuple[PrometheusServer, PrometheusServer],
) -> None:
    _, native = servers
    assert "pipeline_wait_duration_seconds_count" not in native.names()
    for recording in make_recordings(NATIVE):
        assert native.query(recording.expr) or _may_be_empty(recording), recording.record
    for alert in make_alerts(NATIVE, recorded=False):
        native.query(alert.expr)


@pytest.mark.parametrize("config", [CONFIG, NATIVE], ids=["classic", "native"])
@pytest.mark.parametrize("board", make_boards(CONFIG), ids=lambda board: board.name)
def test_variables_have_values_and_annotation_queries_are_valid(
    board: Board, config: Config, servers: tuple[PrometheusServer, PrometheusServer]
) -> None:
    server = servers[config.native_histograms]
    document = json.loads(dashboard_json(board, config))
    for variable in document["templating"].get("list", ()):
        if "query" == variable["type"]:
            selector, label = re.fullmatch(
                r"label_values\((\w*\{.*\}), (\w+)\)", _as_grafana_sends(variable["query"])
            ).groups()  # type: ignore[union-attr]  # all query variables have this form
            chosen = selector[:-1] + ("" if selector.endswith("{}") else ", ")
            assert server.query(f'count by ({label}) ({chosen}{label}!=""}})'), variable
    for mark in document["annotations"].get("list", ()):
        if "expr" in mark:
            server.query(_as_grafana_sends(mark["expr"]))


def test_services_that_only_receive_can_be_chosen(
    server: PrometheusServer,
) -> None:
    jobs = {each["metric"]["job"] for each in server.query("pipeline_telemetry_dropped_total")}
    assert {"observer", "analytics", "lag-monitor"} <= jobs


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"service": "analytics"},
        {"service": "payment"},
        {"pipeline": "orders"},
        {"destination": "shipping[.]commands"},
        {"group": "observer"},
    ],
    ids=str,
)
def test_every_edge_of_the_map_has_both_nodes(
    chosen: dict[str, str], server: PrometheusServer
) -> None:
    board, panel = next(each for each in SHOWN if each[1].kind == "graph")
    edges, nodes = (
        server.query(query) for query in _queries_of(board, panel, server, chosen=chosen)
    )
    ends = {edge["metric"][end] for edge in edges for end in ("source", "target")}
    ids = [node["metric"]["id"] for node in nodes]
    assert ends
    assert ends <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_map_draws_events_dashed_and_commands_solid(server: PrometheusServer) -> None:
    board, panel = next(each for each in SHOWN if each[1].kind == "graph")
    edges, _ = (
        server.query(query)
        for query in _queries_of(board, panel, server, chosen={"service": "payment"})
    )
    dashed = {
        edge["metric"]["id"]: "strokedasharray" in edge["metric"]
        for edge in edges
        if ".dlq" not in edge["metric"]["id"]
    }
    assert {
        "topic payment.commands to service payment to command": False,
        "service payment to topic payment.events to event": True,
    } == {edge: dashed[edge] for edge in dashed if "payment." in edge}


def test_choosing_a_service_does_not_hide_groups_and_sagas(
    server: PrometheusServer,
) -> None:
    for board, panel in SHOWN:
        if "overview" == board.name and title_of(panel) in {
            "Overdue sagas", "Failed sagas", "Stalled or dead groups",
        }:  # fmt: skip
            for query in _queries_of(board, panel, server, chosen={"service": "payment"}):
                assert server.query(query), query


def test_metrics_have_the_names_of_the_catalogue(server: PrometheusServer) -> None:
    names = server.names()
    for metric in METRICS:
        wanted = f"{metric.prometheus}_count" if metric.kind == "histogram" else metric.prometheus
        assert wanted in names


def test_exemplars_have_trace_ids(server: PrometheusServer) -> None:
    exemplars = server.exemplars("pipeline_end_to_end_duration_seconds_bucket")
    assert exemplars
    assert all(len(exemplar["labels"]["trace_id"]) == 32 for exemplar in exemplars)


@pytest.mark.parametrize("rule", make_recordings(CONFIG), ids=lambda rule: rule.record)
def test_every_recording_rule_returns_data(rule: Recording, server: PrometheusServer) -> None:
    assert server.query(rule.expr) or _may_be_empty(rule)


@pytest.mark.parametrize("rule", make_alerts(CONFIG, recorded=False), ids=lambda rule: rule.name)
def test_every_alert_query_is_valid(rule: Alert, server: PrometheusServer) -> None:
    server.query(rule.expr)
