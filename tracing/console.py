"""The traces of a service as trees on standard error: telemetry without any backend.

`OTEL_TRACES_EXPORTER=console` makes `tracing.otlp.configure` use it. With a provider of your own::

    provider.add_span_processor(BatchSpanProcessor(tracing.console.TraceTreeExporter()))

A trace is printed once none of its spans in this process has ended for a moment. It then has all
hops that this process handled::

    trace 4bf92f3577b34da6a3ce929d0e0e4736 payment, 3 spans, 12.3 ms
      process orders.events · OrderPlaced CONSUMER 12.3 ms (parent elsewhere)
        charge INTERNAL 8.1 ms
        send payment.events · PaymentCharged PRODUCER 2.9 ms

Spans that end later are printed as a tree of their own, marked `continued`. Names, outcomes such
as `rejected` and error types are all that is printed: no keys, payloads or other attributes. Needs
the OpenTelemetry SDK.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

try:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
except ImportError as missing:
    raise ImportError(
        "tracing.console needs the OpenTelemetry SDK: pip install 'pipeline-tracing[otlp]'"
    ) from missing

from tracing.core import semconv
from tracing.core.ids import in_forked_child
from tracing.core.log import warn_once
from tracing.core.text import counted, printable
from tracing.testing.span_trees import elapsed, span_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["TraceTreeExporter"]

_WIDEST: Final = 300
# A printed trace is remembered, so that its later spans are marked.
_REMEMBERED: Final = 1_000
# Outcomes that the line says without them.
_SAID: Final = re.compile(rf" {re.escape(semconv.OUTCOME)}=(ok|error)(?= |$)", re.MULTILINE)


@dataclass(slots=True)
class _Trace:
    """The spans of a trace that wait to be printed, and when the last one came."""

    spans: list[ReadableSpan] = field(default_factory=list)
    first_s: float = field(default_factory=time.monotonic)
    last_s: float = 0.0


class TraceTreeExporter(SpanExporter):
    """Prints each trace as a tree, once it is quiet. Thread-safe; it never raises.

    Args:
        file: Where to print; by default the standard error of the moment.
        quiet_s: A trace is printed once none of its spans has ended for this long, in seconds.
        most_s: A trace that is never quiet is printed after this long, in seconds.
        max_spans: How many spans may wait in memory; beyond that, the oldest trace is printed at
            once. A tree has at most as many lines, and says how many more there are.

    Raises:
        ValueError: An option is not usable.
    """

    def __init__(
        self,
        file: TextIO | None = None,
        *,
        quiet_s: float = 0.5,
        most_s: float = 5.0,
        max_spans: int = 500,
    ) -> None:
        if not quiet_s > 0 or not most_s > 0:
            raise ValueError("quiet_s and most_s must be positive seconds")
        if max_spans < 1:
            raise ValueError(f"max_spans must be at least 1, not {max_spans!r}")
        self._file = file
        self._quiet_s = quiet_s
        self._most_s = most_s
        self._max_spans = max_spans
        self._begin()
        in_forked_child(self._begin)

    def _begin(self) -> None:
        # What its parent has not printed is not the child's, and neither is the timer's thread.
        self._lock = threading.Lock()
        self._printing = threading.Lock()
        self._waiting: OrderedDict[int, _Trace] = OrderedDict()
        self._count = 0
        self._printed: OrderedDict[int, None] = OrderedDict()
        self._timer: threading.Timer | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans that have ended; they are printed later, in a thread of their own."""
        try:
            self._take(spans)
        except Exception as error:
            warn_once("traces cannot be collected for the console", error=error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - interface
        """Print all that waits."""
        self._print(everything=True)
        return True

    def shutdown(self) -> None:
        """Print all that waits."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._print(everything=True)

    def _take(self, spans: Sequence[ReadableSpan]) -> None:
        now = time.monotonic()
        with self._lock:
            for span in spans:
                if span.context is None:
                    continue
                trace = self._waiting.setdefault(span.context.trace_id, _Trace())
                trace.spans.append(span)
                trace.last_s = now
                self._count += 1
            full = self._count > self._max_spans
            self._start_timer()
        if full:
            self._print()

    def _start_timer(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = threading.Timer(self._quiet_s / 2, self._look)
            self._timer.daemon = True
            self._timer.name = "pipeline-tracing-console"
            self._timer.start()

    def _look(self) -> None:
        with self._lock:
            self._timer = None
        self._print()
        with self._lock:
            self._start_timer()

    def _print(self, *, everything: bool = False) -> None:
        # One at a time, so that trees do not mix and come in order.
        with self._printing:
            for trace_id, spans, continued in self._due(everything=everything):
                try:
                    file = self._file or sys.stderr
                    file.write(self._text(trace_id, spans, continued=continued))
                    file.flush()
                except Exception as error:
                    warn_once("traces cannot be printed on the console", error=error)

    def _due(self, *, everything: bool) -> list[tuple[int, list[ReadableSpan], bool]]:
        """Remove and return the traces to print, oldest first."""
        now = time.monotonic()
        due: list[tuple[int, list[ReadableSpan], bool]] = []
        with self._lock:
            for trace_id, trace in list(self._waiting.items()):
                quiet = now - trace.last_s >= self._quiet_s
                if (
                    everything
                    or quiet
                    or now - trace.first_s >= self._most_s
                    or self._count > self._max_spans
                ):
                    del self._waiting[trace_id]
                    self._count -= len(trace.spans)
                    due.append((trace_id, trace.spans, trace_id in self._printed))
                    self._printed[trace_id] = None
                    self._printed.move_to_end(trace_id)
            while len(self._printed) > _REMEMBERED:
                self._printed.popitem(last=False)
        return due

    def _text(self, trace_id: int, spans: list[ReadableSpan], *, continued: bool) -> str:
        tree = span_tree(
            spans, attributes=(semconv.ERROR_TYPE, semconv.OUTCOME), types=True, durations=True
        )
        lines = _SAID.sub("", tree).split("\n")
        shown = [f"  {printable(line, _WIDEST)}" for line in lines[: self._max_spans]]
        if more := len(lines) - len(shown):
            shown.append(f"  ... and {counted(more, 'more span')}")
        head = (
            f"trace {trace_id:032x}{' continued' if continued else ''} {_service(spans)}, "
            f"{counted(len(spans), 'span')}, {elapsed(_took_ns(spans))}"
        )
        return "\n".join((printable(head, _WIDEST), *shown)) + "\n"


def _service(spans: list[ReadableSpan]) -> str:
    return str(spans[0].resource.attributes.get("service.name", ""))


def _took_ns(spans: list[ReadableSpan]) -> int:
    """Return the time from the first start to the last end, in nanoseconds."""
    starts = [span.start_time for span in spans if span.start_time is not None]
    ends = [span.end_time for span in spans if span.end_time is not None]
    return max(0, max(ends) - min(starts)) if starts and ends else 0
