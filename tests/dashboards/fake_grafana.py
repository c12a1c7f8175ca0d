"""The part of Grafana's HTTP API that publishing uses, on a free loopback port."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "glsa_test"  # noqa: S105 - not a real token


class FakeGrafana:
    """The state and the answers of the fake."""

    def __init__(self) -> None:
        self.url = ""
        self.version = "12.3.0"
        self.refuse_with: int | None = None
        self.refuse_path = ""
        self.refuse_message = "refused"
        self.answers: dict[str, tuple[int, Any]] = {}
        self.redirect_to = ""
        """The target of all redirects; `{path}` stands for the requested path."""
        self.redirect_with = 302
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.notes: dict[str, str] = {}
        self.folders: list[str] = []
        self.posts: list[str] = []

    def answer(self, method: str, path: str, body: Any, token: str) -> tuple[int, Any]:
        health = 200, {"version": self.version, "database": "ok"}
        if path in {*self.answers, "/api/health"}:
            return self.answers.get(path, health)
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        if method == "GET":
            return self._get(path)
        self.posts.append(path)
        if self.refuse_with is not None and path.startswith(self.refuse_path):
            return self.refuse_with, {"message": self.refuse_message}
        if path == "/api/folders":
            self.folders.append(body["uid"])
            return 200, body
        uid = body["dashboard"]["uid"]
        version = self.dashboards.get(uid, {"dashboard": {"version": 0}})["dashboard"]["version"]
        self.dashboards[uid] = {
            "dashboard": {**_completed(body["dashboard"]), "id": 7, "version": version + 1},
            "meta": {"folderUid": body["folderUid"]},
        }
        self.notes[uid] = body["message"]
        return 200, {"uid": uid, "status": "success"}

    def _get(self, path: str) -> tuple[int, Any]:
        if path.endswith("/versions?limit=1"):
            note = self.notes.get(path.split("/")[-2])
            if note is None:
                return 403, {"message": "You'll need additional permissions"}
            return 200, {"continueToken": "", "versions": [{"version": 1, "message": note}]}
        kind, _, uid = path.removeprefix("/api/").rpartition("/")
        if kind == "folders" and uid in self.folders:
            return 200, {"uid": uid}
        if kind == "dashboards/uid" and uid in self.dashboards:
            return 200, self.dashboards[uid]
        if kind == "folders":
            # Grafana 10 answers an editor like this.
            return 403, {"message": "Permissions needed: folders:read"}
        return 404, {"message": "not found"}


def _completed(node: Any) -> Any:
    """Return a dashboard as Grafana stores it, with added default fields."""
    if isinstance(node, dict):
        return {key: _completed(value) for key, value in node.items()} | {"added": "by Grafana"}
    return [_completed(each) for each in node] if isinstance(node, list) else node


@contextmanager
def fake_grafana() -> Iterator[FakeGrafana]:
    """Run a fake Grafana until the block ends."""
    grafana = FakeGrafana()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            token = self.headers.get("Authorization", "")
            status, content = grafana.answer(self.command, self.path, body, token)
            payload = json.dumps(content).encode()
            self.send_response(grafana.redirect_with if grafana.redirect_to else status)
            if grafana.redirect_to:
                self.send_header("Location", grafana.redirect_to.format(path=self.path))
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    grafana.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield grafana
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
