"""Saga health at each metric collection: one query, shared by all instruments."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.metrics import catalog
from tracing.metrics.series import OTHER
from tracing.sagas.context import SAGA_OUTCOMES
from tracing.sagas.store import SagaHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tracing.metrics.metric import Labels, Metric
    from tracing.sagas.store import SagaHealthSource
    from tracing.telemetry import Telemetry

    Series = Iterable[tuple[Labels, float]]

# Longer than all instruments of one collection can take together.
_SHARED_S: Final = 30.0
_TIMEOUT_S: Final = 1.0
_MAX_NAMES: Final = 32


class SagaReadings:
    """Reads the health of the sagas of one name for the metrics. For one event loop.

    Collections run in other threads and wait for the loop to answer, for 1 s at most. A collection
    on the loop itself cannot wait: it gets the last reading and requests a new one.

    Args:
        telemetry: The telemetry that the service's clients share.
        saga: The name of the sagas.
        source: Reads health from the store.
    """

    def __init__(self, telemetry: Telemetry, saga: str, source: SagaHealthSource) -> None:
        self._telemetry = telemetry
        self._saga = saga
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._health: SagaHealth | None = None
        self._read_at = float("-inf")
        self._served: set[str] = set()
        self._frozen = False
        self._states: dict[str, None] = {}
        self._compensated: dict[str, None] = {}
        self._waits: dict[str, None] = {}
        self._refresh: asyncio.Task[None] | None = None
        instruments: tuple[tuple[Metric, Callable[[SagaHealth], Series]], ...] = (
            (catalog.SAGA_STARTED, self._started),
            (catalog.SAGA_ENDED, self._ended),
            (catalog.SAGA_COMPENSATIONS, self._compensations),
            (catalog.SAGA_ACTIVE, self._active),
            (catalog.SAGA_OVERDUE, self._overdue),
            (catalog.SAGA_OLDEST_AGE, self._oldest_age),
            (catalog.SAGA_STATE_OLDEST_AGE, self._oldest_in_states),
        )
        for metric, series in instruments:
            # Of several trackers with one name in one pipeline, the last one reports.
            key = f"{telemetry.pipeline}/{saga}"
            telemetry.metrics.observe(metric, self._observer(metric, series), key=key)

    async def finish(self) -> None:
        """Read a last time, for 1 s at most; the metrics keep that reading. Never raises."""
        if self._frozen:
            return
        if self._refresh is not None:
            self._refresh.cancel()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                self._keep(await self._ask())
        except Exception as fault:
            # The metrics keep the previous reading: there is no later one.
            self._telemetry.diagnostics.failed("saga_health", fault)
        self._frozen = True

    def _observer(
        self, metric: Metric, series: Callable[[SagaHealth], Series]
    ) -> Callable[[], Series]:
        def observe() -> Series:
            health = self._present(metric.name)
            return () if health is None else series(health)

        return observe

    def _present(self, instrument: str) -> SagaHealth | None:
        if _running_loop() is self._loop:
            # Without the lock: the thread that holds it may be waiting for this loop.
            if not self._frozen and (self._refresh is None or self._refresh.done()):
                self._refresh = self._loop.create_task(self._read())
            return self._health
        with self._lock:
            # The second call of an instrument belongs to a new collection.
            shared = instrument not in self._served and monotonic() - self._read_at < _SHARED_S
            if not (self._frozen or shared):
                self._wait_for_reading()
            self._served.add(instrument)
            return self._health

    def _wait_for_reading(self) -> None:
        reading = self._read()
        try:
            answer = asyncio.run_coroutine_threadsafe(reading, self._loop)
        except RuntimeError as fault:
            # The loop is closed.
            reading.close()
            self._unknown(fault)
            return
        try:
            answer.result(_TIMEOUT_S)
        except Exception as fault:
            answer.cancel()
            self._unknown(fault)

    async def _read(self) -> None:
        try:
            self._keep(await self._ask())
        except Exception as fault:
            self._unknown(fault)

    async def _ask(self) -> SagaHealth:
        health: object = await self._source.health(self._saga, time_ns())
        if not isinstance(health, SagaHealth):
            raise TypeError(f"health must be a SagaHealth, not a {type(health).__name__}")
        return health

    def _unknown(self, fault: Exception) -> None:
        self._telemetry.diagnostics.failed("saga_health", fault)
        # A gap in the graph is better than figures that may be false.
        self._keep(None)

    def _keep(self, health: SagaHealth | None) -> None:
        if not self._frozen:
            self._health, self._read_at, self._served = health, monotonic(), set()

    def _started(self, health: SagaHealth) -> Series:
        yield self._total(), health.started

    def _ended(self, health: SagaHealth) -> Series:
        for outcome in SAGA_OUTCOMES:
            yield self._total(**{semconv.OUTCOME_LABEL: outcome}), health.ended.get(outcome, 0)

    def _compensations(self, health: SagaHealth) -> Series:
        # A series without a step, so that there is a 0 before the first compensation.
        yield self._total(), 0
        capped = self._capped(semconv.STEP_LABEL, health.compensations, self._compensated)
        for labels, total in capped:
            yield self._total(**labels), total

    def _active(self, health: SagaHealth) -> Series:
        yield from self._capped(semconv.STATE_LABEL, health.active, self._states)

    def _capped(
        self,
        label: str,
        counts: Mapping[str, int],
        seen: dict[str, None],
        *,
        together: Callable[[Iterable[int]], int] = sum,
    ) -> Series:
        """Yield a series for each name, and one for all names beyond the cap together.

        Names seen before continue with 0, so that a graph falls instead of ending.
        """
        for name in counts:
            if len(seen) < _MAX_NAMES:
                seen.setdefault(name)
            elif name not in seen:
                seen.setdefault(OTHER)
        others = [number for name, number in counts.items() if name not in seen or name == OTHER]
        for name in seen:
            number = together([0, *others]) if name == OTHER else counts.get(name, 0)
            yield self._series(**{label: name}), number

    def _overdue(self, health: SagaHealth) -> Series:
        yield self._series(), health.overdue

    def _oldest_age(self, health: SagaHealth) -> Series:
        started_ns = health.oldest_started_ns
        age_ns = 0 if started_ns is None else max(0, time_ns() - started_ns)
        yield self._series(), age_ns / 1e9

    def _oldest_in_states(self, health: SagaHealth) -> Series:
        now_ns = time_ns()
        ages = {state: max(0, now_ns - since) for state, since in health.moved_ns.items()}
        for labels, age_ns in self._capped(semconv.STATE_LABEL, ages, self._waits, together=max):
            yield labels, age_ns / 1e9

    def _total(self, **labels: str | int) -> Labels:
        return self._series(**labels, **{semconv.COUNTED_BY_LABEL: semconv.BY_STORE})

    def _series(self, **labels: str | int) -> Labels:
        return {
            semconv.PIPELINE_LABEL: self._telemetry.pipeline,
            semconv.SAGA_LABEL: self._saga,
            **labels,
        }


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
