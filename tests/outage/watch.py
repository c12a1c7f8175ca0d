"""What watches a run: the lag monitor, and the log of alerts."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.dashboards.prometheus_server import PrometheusServer
    from tests.outage.alert_log import AlertLog

_POLL_S = 5.0


@asynccontextmanager
async def watching(server: PrometheusServer, log: AlertLog, began: float) -> AsyncIterator[None]:
    async def watch() -> None:
        while True:
            seen = await asyncio.to_thread(server.alerts)
            log.take(time.monotonic() - began, seen)
            await asyncio.sleep(_POLL_S)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def lag_monitor(server: PrometheusServer, bootstrap_servers: str) -> AsyncIterator[None]:
    """Run the lag monitor as a process of its own, which reports to this Prometheus."""
    monitor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tracing", "lag", "--daemon"),
        *("--bootstrap-servers", bootstrap_servers, "--command-topic", ".*[.]commands"),
        env={
            **os.environ,
            "OTEL_SERVICE_NAME": "lag-monitor",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": server.otlp_metrics,
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        },
    )
    try:
        yield
    finally:
        monitor.terminate()
        await monitor.wait()
