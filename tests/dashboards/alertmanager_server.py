"""An Alertmanager process on a free loopback port, and what it notifies."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import TYPE_CHECKING, Any, Final

import httpx
import yaml

from tests.dashboards.go_programs import GoProgram

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ALERTMANAGER: Final = GoProgram(
    name="alertmanager",
    module="github.com/prometheus/alertmanager",
    version="v0.35.0",
    commands=("alertmanager",),
    embedded=("ui/app/dist",),
)


class Alertmanager:
    """A client of a running Alertmanager.

    Args:
        client: Sends requests to it.
        inbox: What it notifies, in order, as it sends it to webhooks.
    """

    def __init__(self, client: httpx.Client, inbox: list[dict[str, Any]]) -> None:
        self._client = client
        self._inbox = inbox

    def fire(self, firing: Sequence[dict[str, str]], *, for_s: float = 600.0) -> None:
        """Post alerts with these labels; negative seconds resolve them."""
        ends = datetime.now(UTC) + timedelta(seconds=for_s)
        alerts = [{"labels": each, "endsAt": ends.isoformat()} for each in firing]
        self._client.post("/api/v2/alerts", json=alerts).raise_for_status()

    def states(self, **having: str) -> dict[str, str]:
        """Return the state of each alert with these labels, by its name."""
        filters = [f'{label}="{value}"' for label, value in having.items()]
        return {
            alert["labels"]["alertname"]: alert["status"]["state"]
            for alert in self._get("alerts", filter=filters)
        }

    def routed(self, **having: str) -> dict[str, set[str]]:
        """Return the receivers of each alert with these labels, by its name."""
        filters = [f'{label}="{value}"' for label, value in having.items()]
        return {
            alert["labels"]["alertname"]: {each["name"] for each in alert["receivers"]}
            for alert in self._get("alerts", filter=filters)
        }

    def notified(self, **having: str) -> list[tuple[str, tuple[str, ...]]]:
        """Return each notification of alerts with these labels that fire: receiver and names."""
        made = []
        for each in list(self._inbox):
            names = {
                alert["labels"]["alertname"]
                for alert in each["alerts"]
                if alert["status"] == "firing" and having.items() <= alert["labels"].items()
            }
            if names:
                made.append((each["receiver"], tuple(sorted(names))))
        return made

    def _get(self, what: str, **parameters: Any) -> Any:
        answer = self._client.get(f"/api/v2/{what}", params=parameters)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def alertmanager(binaries: Path, folder: Path, shipped: str) -> Iterator[Alertmanager]:
    """Run an Alertmanager with a shipped configuration until the block ends.

    Every receiver gets a webhook, as users add their own integrations. The times of the routes
    become a second, so that tests need not wait for minutes; nothing else changes.
    """
    with _webhook() as (hook, inbox), socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        config = folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(_with_webhooks(yaml.safe_load(shipped), hook)))
        log = folder / "alertmanager.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [
                    binaries / "alertmanager",
                    f"--config.file={config}",
                    f"--storage.path={folder / 'data'}",
                    f"--web.listen-address={address}",
                    "--cluster.listen-address=",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(f"http://{address}", server, log)
            with httpx.Client(base_url=f"http://{address}", timeout=30, trust_env=False) as client:
                yield Alertmanager(client, inbox)
        finally:
            server.terminate()
            server.wait(timeout=30)


def _with_webhooks(document: dict[str, Any], hook: str) -> dict[str, Any]:
    def sooner(route: dict[str, Any]) -> dict[str, Any]:
        waits: dict[str, Any] = {
            name: "1s" for name in ("group_wait", "group_interval") if name in route
        }
        return {**route, **waits, "routes": [sooner(each) for each in route.get("routes", ())]}

    receivers = [
        {**each, "webhook_configs": [{"url": hook, "send_resolved": False}]}
        for each in document["receivers"]
    ]
    return {**document, "route": sooner(document["route"]), "receivers": receivers}


@contextmanager
def _webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    inbox: list[dict[str, Any]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", inbox
        finally:
            server.shutdown()
            thread.join()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/-/ready", timeout=1).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)  # polls: Alertmanager has no ready event
    raise RuntimeError(f"Alertmanager does not start:\n{log.read_text()[-2000:]}")
