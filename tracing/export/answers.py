"""A collector's answer: accepted, accepted in part, or not an OTLP response at all.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp-response: success is a 2xx status with an
export response, which may name items that were rejected.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

Signal = Literal["traces", "metrics", "logs"]

MAX_ANSWER: Final = 64 * 1024
"""Bytes that are read of an answer, and its limit once decompressed."""

_MAX_CAUSE: Final = 200
_PROTOBUF: Final = "application/x-protobuf"
# The request was protobuf, so an answer without a clear type may be protobuf too.
_PERHAPS_PROTOBUF: Final = frozenset({"", "application/protobuf", "application/octet-stream"})
_RESPONSES: Final[dict[Signal, tuple[Any, str]]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}


class NotAcceptedError(Exception):
    """The answer does not say that a collector accepted anything. Its text is the cause."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A collector accepted what was sent.

    Attributes:
        rejected: How many items it rejected nevertheless.
        cause: Why it rejected them, in its own words, made printable and cut.
    """

    rejected: int = 0
    cause: str = ""


def read_answer(signal: Signal, status: int, headers: Mapping[str, str], body: bytes) -> Accepted:
    """Read a successful answer.

    Args:
        signal: What was sent.
        status: The HTTP status, a 2xx.
        headers: The answer's headers.
        body: The answer, or its first `MAX_ANSWER + 1` bytes.

    Raises:
        NotAcceptedError: The answer is longer than any of a collector, or of another kind of
            server.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if len(body) <= MAX_ANSWER and encoding in {"gzip", "x-gzip", "deflate"}:
        body = _decompressed(body)
    if len(body) > MAX_ANSWER:
        raise NotAcceptedError(f"the answer {status} is longer than {MAX_ANSWER} bytes")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"} or body.lstrip()[:1] == b"<":
        raise NotAcceptedError(f"the answer {status} is a web page: is there a proxy in between?")
    response, field = _RESPONSES[signal]
    if kind == _PROTOBUF or kind in _PERHAPS_PROTOBUF:
        try:
            partial = response.FromString(body).partial_success
        except Exception as error:
            if kind != _PROTOBUF:
                return Accepted()
            raise NotAcceptedError(f"the answer {status} is no OTLP response") from error
        return Accepted(max(0, getattr(partial, field)), printable(partial.error_message))
    if kind == "application/json":
        return _read_json(body, field)
    return Accepted()


def printable(text: str) -> str:
    """Make a text from outside safe for one line of a log."""
    cut = text[:_MAX_CAUSE]
    return "".join(character if character.isprintable() else "?" for character in cut)


def _decompressed(body: bytes) -> bytes:
    try:
        # 32 more than the window detects the format. The limit stops decompression bombs.
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MAX_ANSWER + 1)
    except zlib.error as error:
        raise NotAcceptedError("the answer cannot be decompressed") from error


def _read_json(body: bytes, field: str) -> Accepted:
    first, *others = field.split("_")
    name = first + "".join(other.title() for other in others)
    try:
        partial = json.loads(body).get("partialSuccess") or {}
        # OTLP writes 64-bit numbers as JSON strings.
        return Accepted(
            max(0, int(partial.get(name, 0))), printable(str(partial.get("errorMessage")))
        )
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        # Some servers accept the request and answer with JSON of their own.
        if body.strip() and not body.lstrip().startswith((b"{", b"[", b'"')):
            raise NotAcceptedError("the answer is no JSON, although its type says so") from error
        return Accepted()
