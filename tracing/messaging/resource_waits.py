"""How long handlers wait for shared resources: as metric series by resource, and on their spans."""

from __future__ import annotations

from threading import get_ident
from time import perf_counter
from typing import TYPE_CHECKING

from tracing.core import semconv
from tracing.core.text import is_name, label_of
from tracing.metrics import catalog

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from tracing.metrics.instruments import Durations
    from tracing.metrics.metric import Labels
    from tracing.telemetry import Telemetry


class ResourceWaits:
    """The waits of the handlers of one topic and group. Safe in any thread.

    It is made for every topic, and takes nothing until the first wait.

    Args:
        telemetry: What the service's clients share.
        attributes: The labels of the topic and the group.
    """

    __slots__ = ("_attributes", "_series", "_telemetry")

    def __init__(self, telemetry: Telemetry, attributes: Labels) -> None:
        self._telemetry = telemetry
        self._attributes = attributes
        self._series: dict[tuple[int, str], Durations] | None = None

    def note(
        self,
        resource: str,
        seconds: float,
        *,
        started: float,
        noted: dict[str, float],
        span: Span | None,
    ) -> None:
        """Record that a handler waited until now. Never raises.

        All waits of an attempt together take no longer than the attempt so far. So they are a part
        of its processing time, also where a handler waits for several things at once.

        Args:
            resource: What it waited for.
            seconds: For how long.
            started: When the attempt started, by the monotonic clock, in seconds.
            noted: The waits of the attempt so far, by resource, in seconds. This one is added.
            span: The span of the attempt; `None` if there is none.
        """
        try:
            left_s = perf_counter() - started - sum(noted.values())
            waited_s = max(0.0, min(seconds, left_s))
            name = self._name(resource)
            noted[name] = total_s = noted.get(name, 0.0) + waited_s
            self._durations(name).record(waited_s, span)
            if span is not None and span.is_recording():
                span.set_attribute(f"{semconv.RESOURCE_WAIT}.{name}", total_s)
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def _name(self, resource: object) -> str:
        name = label_of(resource)
        return self._telemetry.metrics.resources.label(name) if is_name(name) else semconv.OTHER

    def _durations(self, name: str) -> Durations:
        # A pool may be asked for a connection in any thread, and series belong to one each.
        series = self._series
        if series is None:
            series = self._series = {}
        key = get_ident(), name
        durations = series.get(key)
        if durations is None:
            durations = series[key] = self._telemetry.metrics.durations(
                catalog.RESOURCE_WAIT_DURATION,
                {**self._attributes, semconv.RESOURCE_LABEL: name},
            )
        return durations
