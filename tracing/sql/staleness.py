"""The staleness of read models: measured every second, reported as a gauge."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.log import warn_once
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing.metrics.metric import Labels
    from tracing.replay.log_ends import Freshness, LogEnds
    from tracing.replay.positions import LogPartition, Position
    from tracing.sql.projection import Projection
    from tracing.sql.projections import SqlProjections
    from tracing.telemetry import Telemetry

_INTERVAL_S: Final = 1.0
# Longer than it takes to get the only connection of a busy SQLite database.
_READ_S: Final = 10.0


class StalenessGauge:
    """The gauge of a service's read models. Another thread reads it.

    Args:
        telemetry: What the service's clients share.
        service: The service.
        clock: Returns unix seconds.
    """

    def __init__(
        self, telemetry: Telemetry, service: str, clock: Callable[[], float] = time
    ) -> None:
        self._telemetry = telemetry
        self._service = service
        self._clock = clock
        # Replaced as a whole, so that no collection sees half of it.
        self._shown: Mapping[str, Freshness] = {}
        self._end: Callable[[], None] | None = None

    def begin(self) -> None:
        """Register the gauge. Never raises."""
        try:
            self._end = self._telemetry.metrics.observe(
                catalog.PROJECTION_STALENESS, self._readings
            )
        except Exception as error:
            warn_once("the staleness of read models cannot be reported", error=error)

    def show(self, measured: Mapping[str, Freshness]) -> None:
        """Report these from now on, by the name of the read model."""
        self._shown = measured

    def end(self) -> None:
        """Remove the gauge."""
        if self._end is not None:
            self._end()

    def _readings(self) -> Iterator[tuple[Labels, float]]:
        # Computed at each reading, so that it grows even while nothing can be measured.
        now_s = self._clock()
        for name, freshness in self._shown.items():
            behind_s = freshness.behind_s(now_s)
            if behind_s is not None:
                yield {semconv.PROJECTION_LABEL: name, semconv.SERVICE: self._service}, behind_s


class ProjectionStaleness:
    """Reports how far the read models of a service are behind the log.

    Positions come from the database, once a second. While it does not answer, the last ones count.
    Every replica reports all read models: take the highest value of a read model, not the sum. One
    that is not built yet has no value::

        ends = LogEnds()
        ends.follow(consumer, topics)
        staleness = ProjectionStaleness(
            telemetry, projections, [orders], ends=ends, service="analytics"
        )
        measuring = asyncio.create_task(staleness.run(engine))

    Args:
        telemetry: What the service's clients share.
        store: The read models of the service's database.
        projections: Those to report.
        ends: What is known of the log; the handler should call its `received`.
        service: The service.
        clock: Returns unix seconds.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        store: SqlProjections,
        projections: Sequence[Projection],
        *,
        ends: LogEnds,
        service: str,
        clock: Callable[[], float] = time,
    ) -> None:
        self._gauge = StalenessGauge(telemetry, service, clock)
        self._store = store
        self._topics = {each.name: frozenset(each.topics) for each in projections}
        self._ends = ends
        self._positions: Mapping[str, Mapping[LogPartition, Position]] = {}

    async def run(self, engine: AsyncEngine) -> None:
        """Measure and report until the task is cancelled. Raises nothing else.

        Args:
            engine: The database of the read models.
        """
        self._gauge.begin()
        try:
            while True:
                await self.measure(engine)
                await asyncio.sleep(_INTERVAL_S)
        finally:
            self._gauge.end()

    async def measure(self, engine: AsyncEngine) -> None:
        """Measure once. Never raises."""
        try:
            await self._ends.update()
            known = self._ends.known()
            await self._read(engine)
            self._gauge.show(
                {
                    name: known.of(self._topics[name]).freshness(positions)
                    for name, positions in self._positions.items()
                }
            )
        except Exception as error:
            warn_once("the staleness of read models cannot be measured", error=error)

    async def _read(self, engine: AsyncEngine) -> None:
        """Read the positions of those that are built; leave the last ones if that fails."""
        positions = {}
        try:
            async with asyncio.timeout(_READ_S), engine.connect() as connection:
                for name in self._topics:
                    if await self._store.active_generation(connection, name) is not None:
                        positions[name] = await self._store.positions(connection, name)
        except Exception as error:
            warn_once("the positions of read models cannot be read", error=error)
        else:
            self._positions = positions
