"""Settings of services and of Prometheus that change names, on a real Prometheus."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from tests.dashboards.board_documents import document
from tests.dashboards.prometheus_server import PrometheusServer, prometheus_server
from tracing import TracedProducer, otlp
from tracing.testing import InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

LOGGER = "tracing"


@pytest.fixture(scope="module")
def server(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with prometheus_server(binaries, tmp_path_factory.mktemp("prometheus")) as running:
        yield running


async def _send(service: str) -> bool:
    """Send a record as a service; return whether its metrics were accepted."""
    providers = otlp.configure(service)
    telemetry = providers.telemetry("orders")
    async with TracedProducer(InMemoryProducer(InMemoryBroker()), telemetry) as producer:
        await producer.send_and_wait("orders.events", b"v")
    accepted = providers.meter_provider.force_flush() and not any(
        providers.account.losses().values()
    )
    providers.shutdown()
    return accepted


async def test_traces_of_a_service_in_a_namespace_are_found_by_its_name(
    server: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", server.otlp_metrics)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    await _send("plain")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop")
    await _send("payment")
    jobs = {each["metric"]["job"] for each in server.query("pipeline_telemetry_dropped_total")}
    assert {"plain", "shop/payment"} == jobs

    for board in make_boards(Config()):
        variables = {each["name"]: each for each in document(board)["templating"].get("list", ())}
        if "service_name" not in variables:
            continue
        variable = variables["service_name"]
        selector = re.fullmatch(r"label_values\((.*), job\)", variable["query"])
        assert selector
        for job, name in (("shop/payment", "payment"), ("plain", "plain")):
            found = server.query(selector[1].replace("$service", job))
            (value,) = {each["metric"]["job"] for each in found}
            # Grafana takes the first group of the expression between the slashes.
            match = re.search(variable["regex"].strip("/"), value)
            assert match
            assert name == match[1]


@pytest.mark.parametrize(("preference", "accepted"), [("delta", False), ("cumulative", True)])
async def test_the_cause_is_named_where_prometheus_refuses_delta_temporality(
    preference: str,
    accepted: bool,
    server: PrometheusServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", server.otlp_metrics)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    monkeypatch.setenv(variable, preference)
    caplog.set_level(logging.WARNING, LOGGER)
    assert accepted == await _send("service")
    assert accepted != (variable in caplog.text)
