"""A Prometheus process with its OTLP receiver enabled, on a free loopback port."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from socket import socket
from typing import TYPE_CHECKING, Any

import httpx
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CONFIG: dict[str, Any] = {
    "global": {"scrape_interval": "5s"},
    "storage": {"exemplars": {"max_exemplars": 100_000}},
}


class PrometheusServer:
    """A client for the HTTP API of a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.otlp_metrics = f"{url}/api/v1/otlp/v1/metrics"
        self._since = time.monotonic()

    def age_s(self) -> float:
        """Return how long the server has been ready, in seconds."""
        return time.monotonic() - self._since

    def query(self, promql: str, at_s: float | None = None) -> list[dict[str, Any]]:
        """Return the series of an instant query; at a moment other than now, unix s."""
        url = f"{self.url}/api/v1/query"
        asked = {"query": promql} | ({} if at_s is None else {"time": str(at_s)})
        # In a URL, a long query would be refused.
        series: list[dict[str, Any]] = self._data(httpx.post(url, data=asked, timeout=120))[
            "result"
        ]
        return series

    def parsed(self, promql: str) -> dict[str, Any]:
        """Return the syntax tree of a query."""
        # In a URL, a long query would be refused.
        url = f"{self.url}/api/v1/parse_query"
        tree: dict[str, Any] = self._data(httpx.post(url, data={"query": promql}, timeout=30))
        return tree

    def exemplars(self, promql: str) -> list[dict[str, Any]]:
        """Return the exemplars of the last hour for all series of a query."""
        now = time.time()
        all_series: list[dict[str, Any]] = self._get(
            "query_exemplars", query=promql, start=str(now - 3600), end=str(now + 60)
        )
        return [exemplar for series in all_series for exemplar in series["exemplars"]]

    def names(self) -> set[str]:
        """Return the names of all metrics."""
        return set(self._get("label/__name__/values"))

    def alerts(self) -> list[dict[str, Any]]:
        """Return all alerts that are pending or firing."""
        alerts: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return alerts

    def _get(self, what: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{what}"
        return self._data(httpx.get(url, params=parameters, timeout=30))

    def _data(self, response: httpx.Response) -> Any:
        answer = response.json()
        assert "success" == answer["status"], answer
        return answer["data"]


@contextmanager
def prometheus_server(
    binaries: Path,
    folder: Path,
    rules: Sequence[Path] = (),
    *,
    native_histograms: bool = False,
    promoted: Sequence[str] = (),
) -> Iterator[PrometheusServer]:
    """Run a Prometheus, which evaluates these files of rules, until the block ends.

    The promoted attributes of resources are labels of all their series.
    """
    config = folder / "prometheus.yml"
    files = {"rule_files": [str(file.resolve()) for file in rules]}
    receiver = {
        "convert_histograms_to_nhcb": native_histograms,
        "promote_resource_attributes": [*promoted],
    }
    otlp = {"otlp": receiver}
    config.write_text(yaml.safe_dump(_CONFIG | files | otlp))
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                binaries / "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--web.enable-otlp-receiver",
                "--enable-feature=exemplar-storage",
                # A run of hours, in one query.
                "--query.max-samples=500000000",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(f"http://{address}", server, log)
        yield PrometheusServer(f"http://{address}")
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/-/ready", timeout=1).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)  # polls: Prometheus has no ready event
    raise RuntimeError(f"Prometheus does not start:\n{log.read_text()[-2000:]}")
