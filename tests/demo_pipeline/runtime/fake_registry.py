"""The part of a schema registry's HTTP API that the shop uses, on a loopback port."""

from __future__ import annotations

import json
import re
import threading
import time
from base64 import b64decode
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

Reply = tuple[int, bytes]

_FIRST_ID: Final = 1001
"""Unlike any committed id."""
_SUBJECT: Final = re.compile(r"/subjects/([^/?]+)(/versions)?(?:\?.*)?")
_SCHEMA: Final = re.compile(r"/schemas/ids/(\d+)(/versions)?(?:\?.*)?")


class FakeRegistry:
    """The state and the answers of the fake. Tests may change all attributes at any time.

    Attributes:
        port: Its port; it stays the same while the registry is down.
        schemas: The registered schemas by id, as subject, version and text.
        requests: The requests, as method and path without a query.
        answer_with: An answer in place of the right one.
        delay_s: Seconds before each answer.
        drip_s: Seconds before each byte of an answer.
        user_info: What requests must be authenticated with.
        writable: Whether schemas can be registered.
        most_at_once: The largest number of requests at one time.
    """

    def __init__(self) -> None:
        self.port = 0
        self.schemas: dict[int, tuple[str, int, str]] = {}
        self.requests: list[str] = []
        self.answer_with: Reply | None = None
        self.delay_s = 0.0
        self.drip_s = 0.0
        self.user_info: str | None = None
        self.writable = True
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The URL of the registry."""
        return f"http://127.0.0.1:{self.port}"

    def add(self, subject: str, text: str) -> int:
        """Register a schema, unless it is registered; return its id."""
        with self._lock:
            schema_id = self._id_of(subject, text)
            if schema_id is None:
                schema_id = _FIRST_ID + len(self.schemas)
                version = 1 + sum(known == subject for known, _, _ in self.schemas.values())
                self.schemas[schema_id] = subject, version, text
            return schema_id

    def answer(self, method: str, path: str, body: Any, authorization: str) -> Reply:
        """Answer a request."""
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.requests.append(f"{method} {path.partition('?')[0]}")
        time.sleep(self.delay_s)
        try:
            user = b64decode(authorization.removeprefix("Basic ")).decode() or None
            if self.user_info != user:
                return _json(401, {"error_code": 40101, "message": "Unauthorized"})
            return self.answer_with or self._answer(method, path, body)
        finally:
            with self._lock:
                self._now -= 1

    def _answer(self, method: str, path: str, body: Any) -> Reply:
        if method == "GET" and (match := _SCHEMA.fullmatch(path)):
            return self._shown(int(match[1]), versions=match[2] is not None)
        if method == "POST" and (match := _SUBJECT.fullmatch(path)):
            subject, text = match[1], body["schema"]
            if match[2] is None:
                return self._looked_up(subject, text)
            if not self.writable:
                return _json(403, {"error_code": 40301, "message": "Forbidden"})
            return _json(200, {"id": self.add(subject, text)})
        return _json(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def _shown(self, schema_id: int, *, versions: bool) -> Reply:
        if schema_id not in self.schemas:
            return _json(404, {"error_code": 40403, "message": f"Schema {schema_id} not found"})
        subject, version, text = self.schemas[schema_id]
        if versions:
            return _json(200, [{"subject": subject, "version": version}])
        return _json(200, {"schema": text})

    def _looked_up(self, subject: str, text: str) -> Reply:
        schema_id = self._id_of(subject, text)
        if schema_id is None:
            return _json(404, {"error_code": 40401, "message": "Subject not found"})
        version = self.schemas[schema_id][1]
        return _json(200, {"subject": subject, "id": schema_id, "version": version, "schema": text})

    def _id_of(self, subject: str, text: str) -> int | None:
        ids = (
            schema_id
            for schema_id, (known, _, registered) in self.schemas.items()
            if (subject, json.loads(text)) == (known, json.loads(registered))
        )
        return next(ids, None)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer requests until the block ends."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: Any) -> None:
                authorization = self.headers.get("Authorization", "")
                status, content = registry.answer(self.command, self.path, body, authorization)
                # A client that does not wait for a slow answer has gone.
                with suppress(ConnectionError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    size = 1 if registry.drip_s else len(content)
                    for at in range(0, len(content), size or 1):
                        time.sleep(registry.drip_s)
                        self.wfile.write(content[at : at + size])

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_port
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()
            server.server_close()


def _json(status: int, content: Any) -> Reply:
    return status, json.dumps(content).encode()
