"""A loopback address that passes what it gets on to several receivers of OTLP metrics."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def metrics_tee(*receivers: str) -> Iterator[str]:
    """Yield an address; it answers with the highest status of the receivers."""

    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept = ("content-type", "content-encoding")
            headers = {name: self.headers[name] for name in kept if name in self.headers}
            answers = [
                httpx.post(each, content=body, headers=headers, timeout=30) for each in receivers
            ]
            self.send_response(max(answer.status_code for answer in answers))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Passing) as tee:
        thread = threading.Thread(target=tee.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{tee.server_port}/v1/metrics"
        finally:
            tee.shutdown()
            thread.join()
