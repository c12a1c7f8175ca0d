"""How a consume loop handles records that fail, and what it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.otel_context import FLOW_KEY
from tracing.delivery.failure_log import AttemptLog
from tracing.delivery.retry import Retry
from tracing.delivery.unreadable import Unreadable
from tracing.messaging.message_type import error_counts, type_of
from tracing.messaging.outcome import Rejected, Unprocessable, decisive
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries

if TYPE_CHECKING:
    from tracing.delivery.dead_letters import DeadLetters
    from tracing.delivery.unreadable import OnUnreadable
    from tracing.messaging.reading import ConsumerPort
    from tracing.messaging.transport import Message
    from tracing.metrics.instruments import Durations
    from tracing.metrics.message_types import ByType
    from tracing.metrics.series import ErrorCounts

ONCE = Retry(attempts=1)
"""No second attempt."""


class FailureHandling:
    """The options of one loop for failing records, and its metrics about them. For one thread.

    Attributes:
        retry: When to try again.
        dead_letters: Takes records that failed permanently; `None` if the loop ends instead.
        group: The consumer group that gives records up.
        transport: The kind of broker that the messages come from.
        log: Logs failed attempts.
        unreadable: What to do about records that the client cannot read.
    """

    def __init__(
        self,
        consumer: ConsumerPort[Any],
        retry: Retry | None,
        dead_letters: DeadLetters | None,
        on_unreadable: OnUnreadable = "raise",
    ) -> None:
        self.retry = retry or (ONCE if dead_letters is None else Retry())
        self.dead_letters = dead_letters
        self.group = consumer.info.group
        self.transport = consumer.info.transport
        self.log = AttemptLog(consumer.telemetry, self.transport, self.group)
        self.unreadable = Unreadable(consumer, dead_letters, on_unreadable)
        self._telemetry = consumer.telemetry
        self._retries = BoundedDict(self._new_retries)
        self._durations = BoundedDict(self._new_durations)
        self._firsts = BoundedDict(self._new_firsts)
        self._depths = BoundedDict(self._new_depths)

    def prepare(self, topic: str) -> None:
        """Create a topic's counters, at 0, before there is anything to count."""
        if self.retry.attempts > 1:
            self._retries[topic][None]
        if self.dead_letters is not None:
            self.dead_letters.prepare(topic, self.group or "")
        self.unreadable.prepare(topic)

    def decisive(self, raised: BaseException) -> BaseException:
        """Return the error that decides if a handler raised a group of them. Never raises."""
        return decisive(raised, permanent=self._permanent)

    def retries(self, error: Exception, attempts: int) -> bool:
        """Whether another attempt follows; `error` is not a group. Never raises."""
        return attempts < self.retry.attempts and not self._permanent(error)

    def _permanent(self, error: Exception) -> bool:
        # `Unprocessable` is always permanent; the predicate need not handle it.
        return isinstance(error, Unprocessable) or not self.retry.may_succeed_after(error)

    def retried(self, record: Message, cause: Exception) -> None:
        """Count an attempt that follows a failed one. Never raises."""
        try:
            counts = self._retries[record.topic][type_of(self._telemetry, record)]
            counts.add(semconv.error_type(cause))
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def ended(
        self,
        topic: str,
        attempts: int,
        *,
        first_s: float,
        retry_s: float | None,
        error: BaseException | None,
    ) -> None:
        """Record the attempts of a record that needed several, in its context. Never raises.

        Args:
            topic: Its topic.
            attempts: Their number.
            first_s: Seconds that the first one took.
            retry_s: Seconds from the first one's end to the last one's start, for a record whose
                times count.
            error: How the last one ended. If that is a request to stop, nothing is recorded: the
                record is delivered again.
        """
        if error is not None and not isinstance(error, Exception):
            return
        try:
            self._depths[topic].record(attempts)
            failure = (
                None if error is None or isinstance(error, Rejected) else semconv.error_type(error)
            )
            if failure is None:
                self._firsts[topic].record(first_s)
            if retry_s is not None:
                flow = get_current().get(FLOW_KEY)
                named = flow.get(semconv.PIPELINE) if isinstance(flow, Mapping) else None
                series = self._durations[topic, self._telemetry.pipelines.label(named)]
                durations = series.succeeded if failure is None else series.failed(failure)
                durations.record(max(retry_s, 0.0))
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def _new_durations(self, hop: tuple[str, str]) -> OperationSeries:
        topic, pipeline = hop
        labels = {semconv.PIPELINE_LABEL: pipeline, **self._labels(topic)}
        return OperationSeries(self._telemetry.metrics, labels, durations=catalog.RETRY_DURATION)

    def _new_firsts(self, topic: str) -> Durations:
        return self._telemetry.metrics.durations(
            catalog.FIRST_ATTEMPT_DURATION, self._labels(topic)
        )

    def _new_depths(self, topic: str) -> Durations:
        return self._telemetry.metrics.durations(catalog.RETRY_ATTEMPTS, self._labels(topic))

    def _new_retries(self, topic: str) -> ByType[ErrorCounts]:
        return error_counts(self._telemetry, catalog.RETRIES, self._labels(topic))

    def _labels(self, topic: str) -> dict[str, str | int]:
        labels: dict[str, str | int] = {semconv.DESTINATION: topic}
        if self.group is not None:
            labels[semconv.GROUP] = self.group
        return labels
