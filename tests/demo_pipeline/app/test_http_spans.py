"""The server spans of the HTTP API follow the stable conventions, whatever is set elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_VARIABLE = "OTEL_SEMCONV_STABILITY_OPT_IN"
_PROGRAM = f"""
import asyncio, os
from starlette.applications import Starlette
from starlette.routing import Route
from demo_pipeline.app.http_spans import with_server_spans
from demo_pipeline.app.recording import Recording

async def missing(scope, receive, send):
    await send({{"type": "http.response.start", "status": 404, "headers": []}})
    await send({{"type": "http.response.body", "body": b""}})

async def nothing(_message=None):
    return {{"type": "http.request", "body": b"", "more_body": False}}

recording = Recording()
before = os.environ.get("{_VARIABLE}")
app = with_server_spans(missing, [], "/health", recording.providers("orders"))
scope = {{
    "type": "http", "method": "GET", "path": "/x", "raw_path": b"/x", "query_string": b"",
    "scheme": "http", "http_version": "1.1", "server": ("shop", 80), "client": None, "headers": [],
}}
asyncio.run(app(scope, nothing, nothing))
assert before == os.environ.get("{_VARIABLE}")
print(*sorted(name for name in recording.spans[0].attributes if name.endswith("method")))
"""


@pytest.mark.parametrize(
    ("chosen", "name"),
    [(None, "http.request.method"), ("http", "http.request.method"), ("database", "http.method")],
)
def test_the_stable_conventions_are_chosen_unless_the_user_chose(
    chosen: str | None, name: str
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != _VARIABLE}
    if chosen is not None:
        environment[_VARIABLE] = chosen

    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )

    assert [name] == done.stdout.split()
