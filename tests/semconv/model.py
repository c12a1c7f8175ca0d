"""The OpenTelemetry semantic conventions 1.45.0, as far as signals of this project can meet them.

`model.json` holds facts of the conventions' own model (Apache-2.0): names and types of attributes,
the members of enumerations, names that are deprecated, instruments and units of the messaging
metrics, and the span kinds of messaging operations. What the pages of the conventions say beside
the model is here: which attributes are required, the HTTP metrics, and what the demo reports of
its databases.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

_MODEL: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "model.json").read_text())

SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{_MODEL['version']}"
ATTRIBUTES: Final[dict[str, str | list[str]]] = {
    **_MODEL["attributes"],
    "db.client.connection.pool.name": "string",
}
"""The type of each attribute, or the members of an enumeration."""
DEPRECATED: Final[frozenset[str]] = frozenset(_MODEL["deprecated"])
KINDS: Final[dict[str, list[str]]] = _MODEL["kinds"]
"""The span kinds of each type of messaging operation."""
NAMESPACES: Final = frozenset(name.partition(".")[0] for name in (*ATTRIBUTES, *DEPRECATED))
"""Names of ours begin with none of them."""
OPEN: Final = frozenset({"error.type"})
"""Enumerations that may have other values."""

HTTP_METRICS: Final = {
    "http.server.request.duration": ["histogram", "s"],
    "http.server.active_requests": ["updowncounter", "{request}"],
    "http.server.request.body.size": ["histogram", "By"],
    "http.server.response.body.size": ["histogram", "By"],
    "http.client.request.duration": ["histogram", "s"],
}
DATABASE_METRICS: Final = {"db.client.connection.wait_time": ["histogram", "s"]}
METRICS: Final[dict[str, list[str]]] = {**_MODEL["metrics"], **HTTP_METRICS, **DATABASE_METRICS}
"""The instrument and the unit of each metric."""

MESSAGING_REQUIRED: Final = frozenset({"messaging.system.name", "messaging.operation.name"})
"""Of every messaging span and metric."""
HTTP_REQUIRED: Final = frozenset({"http.request.method", "url.scheme"})
"""Of every HTTP server span and metric."""
HTTP_CLIENT_REQUIRED: Final = frozenset({"http.request.method", "server.address", "server.port"})
"""Of every HTTP client span and metric."""
READER_TYPES: Final = frozenset({"receive", "process", "settle"})
"""The types of operations that a consumer group does."""
