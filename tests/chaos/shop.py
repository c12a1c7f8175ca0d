"""The demo's services, each in its own process that can be killed at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import httpx

from demo_pipeline.app.http_server import listen
from demo_pipeline.services import SERVICES
from tests.chaos.databases import SAGAS

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_STOP_S = 30.0
_START_S = 60.0


class Shop:
    """All services on one cluster, with their databases in one folder.

    Args:
        bootstrap_servers: The cluster.
        folder: Folder for the databases and the services' logs.
        otlp_url: Receives traces, and metrics of the services that store sagas.
        metrics_url: Receives the metrics of all services every 5 s, instead of `otlp_url`.

    Attributes:
        bootstrap_servers: The cluster.
        folder: Folder for the databases and the services' logs.
        environment: The environment of its processes, without that of single services.
        unclean: Services that did not stop cleanly on SIGTERM.
    """

    def __init__(
        self, bootstrap_servers: str, folder: Path, otlp_url: str, *, metrics_url: str = ""
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.folder = folder
        self.unclean: list[str] = []
        with listen(0) as probe:
            self._port = probe.getsockname()[1]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            # A killed process then loses few spans.
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "NO_COLOR": "1",
        }
        self._reporting = frozenset(SERVICES if metrics_url else SAGAS)
        if metrics_url:
            self.environment |= {
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": metrics_url,
                "OTEL_METRIC_EXPORT_INTERVAL": "5000",
            }

    @property
    def url(self) -> str:
        """The URL of its HTTP API."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        for service in SERVICES:
            self.start(service)
        try:
            await self._wait_until_healthy()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._stop()

    def start(self, service: str, replica: str = "") -> None:
        """Start a service; it continues from its database and its committed offsets.

        Args:
            service: The service.
            replica: The name of this process, if there are several; by default the service's.
        """
        command = [sys.executable, "-m", "demo_pipeline", "serve", service]
        command += ["--bootstrap-servers", self.bootstrap_servers, "--log-level", "warning"]
        if service == "orders":
            command += ["--http-port", str(self._port)]
        with (self.folder / f"{service}.log").open("ab") as log:
            self._processes[replica or service] = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment
                | {"OTEL_METRICS_EXPORTER": "otlp" if service in self._reporting else "none"},
                stdout=log,
                stderr=log,
            )

    def kill(self, service: str) -> None:
        """Kill a service, or a replica, with SIGKILL."""
        process = self._processes[service]
        process.kill()
        process.wait()

    async def stop(self, service: str) -> None:
        """Stop a service, or a replica, with SIGTERM, and wait until its process has ended."""
        process = self._processes.pop(service)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, _STOP_S)

    def ended(self) -> list[str]:
        """Return the services whose process has ended by itself."""
        return [
            service for service, process in self._processes.items() if process.poll() is not None
        ]

    def log(self, service: str) -> str:
        """Return the end of a service's log."""
        return (self.folder / f"{service}.log").read_text(errors="replace")[-2000:]

    async def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_S
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            while True:
                for service in self.ended():
                    status = self._processes[service].returncode
                    raise RuntimeError(f"{service} ended with status {status}: {self.log(service)}")
                try:
                    await client.get("/health")
                except httpx.HTTPError as error:
                    if time.monotonic() > deadline:
                        logs = "; ".join(f"{name}: {self.log(name)}" for name in SERVICES)
                        raise TimeoutError(f"the shop does not start; logs: {logs}") from error
                    await asyncio.sleep(0.1)
                else:
                    return

    async def _stop(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for service, process in self._processes.items():
            try:
                status = await asyncio.to_thread(process.wait, _STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
                self.unclean.append(f"service {service} did not stop: {self.log(service)}")
            else:
                if status:
                    log = self.log(service)
                    self.unclean.append(f"service {service} ended with status {status}: {log}")
