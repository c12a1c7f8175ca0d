"""Saga health at each metric collection: one query, shared by all instruments."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final

from tracing import catalog, semconv
from tracing.sagas.outcomes import SAGA_OUTCOMES
from tracing.series import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tracing.catalog import Metric
    from tracing.metrics import Attributes
    from tracing.sagas.health import SagaHealth, SagaHealthSource
    from tracing.telemetry import Telemetry

    Series = Iterable[tuple[Attributes, float]]

_SHARED_S: Final = 1.0
_TIMEOUT_S = 2.0
_MAX_STATES: Final = 32


class SagaReadings:
    """Reads the health of one saga's instances for the metrics. For one event loop.

    Collections come from other threads; they wait for the loop to answer, for 2 s at most. One
    that runs on the loop itself cannot wait: it gets the last answer, and asks for a new one.

    Args:
        telemetry: What the service's clients share.
        saga: The name of the sagas.
        source: Where health is read from.
    """

    def __init__(self, telemetry: Telemetry, saga: str, source: SagaHealthSource) -> None:
        self._telemetry = telemetry
        self._saga = saga
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._health: SagaHealth | None = None
        self._read_at = float("-inf")
        self._told: set[str] = set()
        self._frozen = False
        self._states: dict[str, None] = {}
        self._refresh: asyncio.Task[None] | None = None
        instruments: tuple[tuple[Metric, Callable[[SagaHealth], Series]], ...] = (
            (catalog.SAGA_STARTED, self._started),
            (catalog.SAGA_ENDED, self._ended),
            (catalog.SAGA_COMPENSATIONS, self._compensations),
            (catalog.SAGA_ACTIVE, self._active),
            (catalog.SAGA_OVERDUE, self._overdue),
            (catalog.SAGA_OLDEST_AGE, self._oldest_age),
        )
        for metric, series in instruments:
            # By name: the sagas of a name are told once, whoever tells them last.
            telemetry.metrics.observe(metric, self._observer(metric, series), key=saga)

    async def finish(self) -> None:
        """Read a last time; from now on the metrics tell that. Never raises."""
        if self._refresh is not None:
            self._refresh.cancel()
        await self._read()
        self._frozen = True

    def _observer(
        self, metric: Metric, series: Callable[[SagaHealth], Series]
    ) -> Callable[[], Series]:
        def observe() -> Series:
            health = self._present(metric.name)
            return () if health is None else series(health)

        return observe

    def _present(self, asking: str) -> SagaHealth | None:
        if _running_loop() is self._loop:
            # Without the lock: whoever holds it may be waiting for this loop.
            if not self._frozen and (self._refresh is None or self._refresh.done()):
                self._refresh = self._loop.create_task(self._read())
            return self._health
        with self._lock:
            # An instrument that asks again asks in a new collection.
            fresh = monotonic() - self._read_at < _SHARED_S and asking not in self._told
            if not (self._frozen or fresh):
                self._wait_for_reading()
            self._told.add(asking)
            return self._health

    def _wait_for_reading(self) -> None:
        reading = self._read()
        try:
            answer = asyncio.run_coroutine_threadsafe(reading, self._loop)
        except RuntimeError as fault:
            # The loop is closed.
            reading.close()
            self._keep(None, fault)
            return
        try:
            answer.result(_TIMEOUT_S)
        except Exception as fault:
            answer.cancel()
            self._keep(None, fault)

    async def _read(self) -> None:
        try:
            self._keep(await self._source.health(self._saga, time_ns()))
        except Exception as fault:
            self._keep(None, fault)

    def _keep(self, health: SagaHealth | None, fault: Exception | None = None) -> None:
        # What cannot be read is a gap in the graph: the last known figures would not be true.
        self._health, self._read_at, self._told = health, monotonic(), set()
        if fault is not None:
            self._telemetry.diagnostics.failed("saga_health", fault)

    def _started(self, health: SagaHealth) -> Series:
        yield self._series(), health.started

    def _ended(self, health: SagaHealth) -> Series:
        for outcome in SAGA_OUTCOMES:
            yield self._series(**{semconv.OUTCOME_LABEL: outcome}), health.ended.get(outcome, 0)

    def _compensations(self, health: SagaHealth) -> Series:
        for step, number in health.compensations.items():
            yield self._series(**{semconv.STEP_LABEL: step}), number

    def _active(self, health: SagaHealth) -> Series:
        # States in which there were sagas go on with 0, so that a graph falls and does not end.
        for state in health.active:
            if len(self._states) < _MAX_STATES:
                self._states.setdefault(state)
        for state in self._states:
            yield self._series(**{semconv.STATE_LABEL: state}), health.active.get(state, 0)
        others = sum(n for state, n in health.active.items() if state not in self._states)
        if others:
            yield self._series(**{semconv.STATE_LABEL: OTHER}), others

    def _overdue(self, health: SagaHealth) -> Series:
        yield self._series(), health.overdue

    def _oldest_age(self, health: SagaHealth) -> Series:
        started_ns = health.oldest_started_ns
        age_ns = 0 if started_ns is None else max(0, time_ns() - started_ns)
        yield self._series(), age_ns / 1e9

    def _series(self, **labels: str) -> Attributes:
        return {semconv.SAGA_LABEL: self._saga, **labels}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
