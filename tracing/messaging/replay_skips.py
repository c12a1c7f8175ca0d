"""Replayed dead letters of other groups, which a group skips: counted, and logged once a minute."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.bounded import BoundedDict, OncePerInterval
from tracing.core.log import EventLog
from tracing.headers.codec import latest
from tracing.headers.dead_letter import REPLAY_GROUP, Replay
from tracing.metrics import catalog

if TYPE_CHECKING:
    from tracing.headers.codec import Record
    from tracing.metrics.instruments import Count
    from tracing.telemetry import Telemetry

_logger = EventLog("tracing")

_LOG_INTERVAL_S: Final = 60.0


class ReplaySkips:
    """Decides which replayed records a group skips, and counts them by topic. Never raises.

    Args:
        telemetry: What the service's clients share.
        group: The consumer group; `None` where the consumer has none.

    Task safety: any number of tasks of one event loop.
    """

    def __init__(self, telemetry: Telemetry, group: str | None) -> None:
        self._telemetry = telemetry
        self._group = group
        self._counts = BoundedDict(self._new_count)
        self._log = OncePerInterval[str](_LOG_INTERVAL_S)

    def expect(self, topic: str) -> None:
        """Let the counter of a topic exist, with 0, before there is a skip."""
        try:
            self._counts[topic]
        except Exception as fault:
            self._telemetry.diagnostics.failed("replay", fault)

    def skips(self, record: Record) -> bool:
        """Return whether a record was replayed for another group, which counts as skipping it."""
        if REPLAY_GROUP not in latest(record.headers):
            return False
        replay = Replay.of(record)
        if replay is None:
            self._telemetry.diagnostics.invalid("replay")
            return False
        if replay.group == self._group:
            return False
        try:
            self._skipped(record, replay.group)
        except Exception as fault:
            self._telemetry.diagnostics.failed("replay", fault)
        return True

    def _skipped(self, record: Record, group: str) -> None:
        topic = record.topic
        count = self._counts[topic]
        count.value += 1
        if not self._log.due(topic, monotonic()):
            return
        _logger.warning(
            "%s[%d] offset %d is a dead letter that was replayed for group %.100r: group %r skips "
            "it; %d skipped on this topic so far, counted in %s",
            topic,
            record.partition,
            record.offset,
            group,
            self._group,
            count.value,
            catalog.REPLAY_SKIPPED.name,
        )

    def _new_count(self, topic: str) -> Count:
        labels = {semconv.DESTINATION: topic}
        if self._group is not None:
            labels[semconv.GROUP] = self._group
        return self._telemetry.metrics.count(catalog.REPLAY_SKIPPED, labels)
