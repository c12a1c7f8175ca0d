"""The OTLP/HTTP span exporter that encodes light spans itself, with pauses for the event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.http import trace_exporter as http
from opentelemetry.sdk.trace.export import SpanExportResult

from tracing.core.log import warn_once
from tracing.export.span_encoding import SpanEncoder

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    import requests
    from opentelemetry.sdk.trace import ReadableSpan

# A thread gets the interpreter lock after 5 ms, or at once where it is free. Without pauses, each
# wait for the network would cost an event loop 5 ms while another thread encodes.
_PAUSE_S: Final = 0.0005


class Pauses:
    """Yields to other threads for half a millisecond, unless the queue fills up.

    Attributes:
        queue: What is waiting to be exported. From half full on, losing nothing is more important
            than other threads' delays.
    """

    def __init__(self) -> None:
        self.queue: deque[Any] | None = None

    def __call__(self) -> None:
        """Pause, unless the queue is half full."""
        queue = self.queue
        if queue is None or queue.maxlen is None or len(queue) < queue.maxlen // 2:
            time.sleep(_PAUSE_S)


class LightSpanExporter(http.OTLPSpanExporter):
    """Exports as its base class does: same options, environment, transport and retries.

    The base class has no public seam between encoding and sending. Where its private parts have
    other names, or the result is too large for one request, the base class does everything.

    Args:
        session: The session to send with; by default the SDK's own.
        pauses: Called between slices of the encoding, and before sending.

    Attributes:
        left_out: How many spans of the last export could not be encoded.
    """

    _MAX_SIZE = 32 * 1024 * 1024

    def __init__(
        self, session: requests.Session | None = None, pauses: Pauses | None = None
    ) -> None:
        super().__init__(session=session)
        self._pauses = pauses
        self._encoder = SpanEncoder(pauses)
        self.left_out = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode spans and send them."""
        self.left_out = 0
        send = getattr(getattr(self, "_client", None), "export", None)
        if send is None or self._shutdown:
            return super().export(spans)
        try:
            before = self._encoder.left_out
            encoded = self._encoder.encode(spans)
            self.left_out = self._encoder.left_out - before
        except Exception as error:
            warn_once("light spans cannot be encoded directly; the SDK encodes them", error=error)
            return super().export(spans)
        if len(encoded) > self._MAX_SIZE:
            return super().export(spans)
        if self._pauses is not None:
            self._pauses()
        return SpanExportResult.SUCCESS if send(encoded).success else SpanExportResult.FAILURE
