"""The lag monitor: regular sweeps over a cluster."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from aiokafka.errors import KafkaError

from tracing.core.log import EventLog
from tracing.core.text import error_text
from tracing.headers.dead_letter_formats import FORMATS
from tracing.kafka.cluster import Cluster
from tracing.lag.choice import Choice, patterns
from tracing.lag.gauges import LagGauges
from tracing.lag.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection
    from types import TracebackType

    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection
    from tracing.lag.model import Sweep
    from tracing.telemetry import Telemetry

_WINDOW_S: Final = 30.0
_SWEEPS: Final = 6
# The share of the timeout for reading records, the slow part. What is not read is estimated.
_READING: Final = 0.5
# The share of the timeout for one request, so that a silent broker leaves time for the others.
_WAITING: Final = 0.25

REMARKS: Final = "tracing.lag"
"""The logger of what needs a look, each once: unreadable records, commands read twice."""

_logger = EventLog("tracing")
_remarks = EventLog(REMARKS)


class LagMonitor:
    """Measures the lag of consumer groups from outside, as an async context manager.

    It needs the rights of a plain consumer: to describe topics and groups, and to read topics.
    Without the right to read, waiting times are estimated from the times at which logs grew. Each
    sweep lists what the cluster does not allow, and the records that clients cannot read; a new
    one of these is also logged.

    Args:
        connection: The cluster.
        telemetry: Where to report gauges; by default nowhere.
        interval_s: Seconds from one sweep to the next.
        window_s: Length of the window in which groups are judged, in seconds; by default 30, or
            six intervals if that is more. A consumer should commit twice in it.
        timeout_s: How long a sweep may take, in seconds.
        read: Whether to read the oldest uncommitted record of each partition with lag. If not,
            times are estimates, and a transaction marker at the end of a log counts as a waiting
            record.
        groups: Only these groups; by default all.
        topics: Only these topics; by default all.
        exclude_groups: Regular expressions: a group whose whole name matches one is left out.
        exclude_topics: Regular expressions: a topic whose whole name matches one is left out, also
            as a dead-letter topic.
        command_topics: Regular expressions for whole names of topics that hold commands. If more
            than one group reads such a topic, the sweep says so, and a log line once.
        suffix: What this library's dead-letter topics end in.
        formats: How other systems name dead-letter topics and the origin of dead letters.
        partitions: Whether gauges have a series for each partition, instead of each topic.
        max_series: Largest number of partitions, or topics, with series of their own.

    Raises:
        ValueError: An option is not valid.
        KafkaConnectionError: On entering: no broker answers.
        KafkaError: On entering: the cluster refuses.

    Thread and task safety: for one task. `last` may be read anywhere.
    """

    def __init__(
        self,
        connection: Connection,
        telemetry: Telemetry | None = None,
        *,
        interval_s: float = 5.0,
        window_s: float | None = None,
        timeout_s: float = 30.0,
        read: bool = True,
        groups: Collection[str] = (),
        topics: Collection[str] = (),
        exclude_groups: Collection[str] = (),
        exclude_topics: Collection[str] = (),
        command_topics: Collection[str] = (),
        suffix: str = ".dlq",
        formats: DeadLetterFormats = FORMATS,
        partitions: bool = True,
        max_series: int = 10_000,
    ) -> None:
        window_s = max(_WINDOW_S, _SWEEPS * interval_s) if window_s is None else window_s
        if not interval_s > 0 or not timeout_s > 0:
            raise ValueError("interval_s and timeout_s must be positive seconds")
        if not window_s >= 2 * interval_s:
            raise ValueError(f"window_s must be at least two intervals, not {window_s!r}")
        if max_series < 1:
            raise ValueError(f"max_series must be at least 1, not {max_series!r}")
        choice = Choice(
            frozenset(groups),
            frozenset(topics),
            patterns(exclude_groups),
            patterns(exclude_topics),
            read,
            suffix,
            formats,
            patterns(command_topics),
        )
        self._cluster = Cluster(connection, timeout_s * _WAITING)
        self._sweeper = Sweeper(self._cluster, choice, window_s)
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._last: Sweep | None = None
        self._remarked: frozenset[str] = frozenset()
        # An older sweep no longer describes the cluster.
        self._valid_s = timeout_s + 3 * interval_s
        self._gauges = (
            None
            if telemetry is None
            else LagGauges(telemetry.metrics, partitions=partitions, max_series=max_series)
        )

    @property
    def last(self) -> Sweep | None:
        """The result of the last sweep; `None` before the first one."""
        return self._last

    async def __aenter__(self) -> Self:
        await self._cluster.__aenter__()
        if self._gauges is not None:
            self._gauges.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._gauges is not None:
            self._gauges.end()
        await self._cluster.__aexit__()

    async def sweep(self) -> Sweep:
        """Do one sweep, now.

        Raises:
            KafkaError: No broker answers.
            TimeoutError: The sweep took longer than `timeout_s`.
        """
        reading_until = monotonic() + self._timeout_s * _READING
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await self._sweeper.sweep(until=reading_until)
        except (KafkaError, TimeoutError):
            if self._gauges is not None:
                self._gauges.unreachable(valid_s=self._valid_s)
            raise
        self._last = result
        for remark in sorted(set(result.remarks) - self._remarked):
            _remarks.warning("%s", remark)
        self._remarked = frozenset(result.remarks)
        if self._gauges is not None:
            self._gauges.show(result, valid_s=self._valid_s)
        return result

    async def sweeps(self) -> AsyncGenerator[Sweep]:
        """Sweep at each interval and yield the results, until the caller closes the generator.

        A failed sweep is logged, and the next one follows; only the first one must succeed. Close
        the generator at the end, as `contextlib.aclosing` does.

        Raises:
            KafkaError: The first sweep failed.
            TimeoutError: The first sweep took too long.
        """
        due = monotonic()
        while True:
            try:
                result = await self.sweep()
            except Exception as error:
                if self._last is None:
                    raise
                _logger.warning("lag could not be measured: %s", error_text(error))
            else:
                yield result
            # The next sweep follows a slow one at once; missed sweeps are not made up for.
            due = max(due + self._interval_s, monotonic())
            await asyncio.sleep(due - monotonic())
