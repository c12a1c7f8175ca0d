"""The page on Kubernetes: its container starts as the manifest says, and ends on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dashboards.config import Config
from dashboards.files import generated
from demo_pipeline.broker import EmbeddedBroker
from tests.docs.pages import ROOT
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "guides" / "kubernetes.md"


def container() -> dict[str, Any]:
    """Return the container of the page's Deployment."""
    (manifest,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    deployment = yaml.safe_load(manifest)
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    (only,) = template["spec"]["containers"]
    return dict(only)


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Run a collector that takes everything: its address, and what it got."""
    received: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()


@pytest.mark.integration
async def test_the_lag_monitor_of_the_page_exports_and_ends_on_sigterm(tmp_path: Path) -> None:
    runs = container()
    mount = runs["volumeMounts"][0]["mountPath"]
    (tmp_path / "client.properties").write_text("security.protocol=PLAINTEXT\n")
    async with EmbeddedBroker() as broker:
        with collector() as (address, received):
            environment = {
                variable["name"]: variable["value"]
                .replace("kafka:9092", broker.bootstrap_servers)
                .replace("collector:4318", address)
                .replace(mount, str(tmp_path))
                for variable in runs["env"]
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *runs["command"][1:],
                env=os.environ
                | environment
                | {"PYTHONPATH": str(ROOT), "OTEL_METRIC_EXPORT_INTERVAL": "200"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            exported = await eventually(
                lambda: process.returncode is not None or received, timeout_s=60
            )
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            printed, _ = await process.communicate()

    assert (0, b"") == (process.returncode, printed)
    assert exported
    assert "python" == runs["command"][0]
    assert "/v1/metrics" in {path for path, _ in received}


def test_dashboards_are_too_large_for_kubectls_annotation_and_small_enough_for_kubernetes() -> None:
    text = PAGE.read_text()
    resources = [
        len(json.dumps(yaml.safe_load(content), separators=(",", ":")))
        for content in generated(Config(), form="configmap").values()
    ]

    assert "--format configmap\nkubectl apply --server-side -f k8s/\n" in text
    assert 256 * 1024 < max(resources) < 1024 * 1024
