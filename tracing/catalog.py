"""Every metric as data: the one definition that instruments and documentation are made from."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: The OpenTelemetry instrument name.
        kind: What instrument records it.
        unit: UCUM unit; annotations such as `{message}` count things.
        description: One sentence for people.
        buckets: Upper bounds of a histogram's buckets, in `unit`, ascending.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    buckets: tuple[float, ...] = ()


# The bounds that the messaging conventions advise for both durations: fine between 5 ms and
# 1 s, where broker round trips and handlers live, and coarse up to the usual time-outs.
_DURATION_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip

SENT_MESSAGES: Final = Metric(
    name="messaging.client.sent.messages",
    kind="counter",
    unit="{message}",
    description="Messages that the broker acknowledged to a producer.",
)
CONSUMED_MESSAGES: Final = Metric(
    name="messaging.client.consumed.messages",
    kind="counter",
    unit="{message}",
    description="Messages delivered to the application, once per delivery.",
)
OPERATION_DURATION: Final = Metric(
    name="messaging.client.operation.duration",
    kind="histogram",
    unit="s",
    description="Duration of a send, poll or commit, as the client saw it.",
    buckets=_DURATION_BUCKETS,
)
PROCESS_DURATION: Final = Metric(
    name="messaging.process.duration",
    kind="histogram",
    unit="s",
    description="Duration of processing one message, one attempt.",
    buckets=_DURATION_BUCKETS,
)
RETRIES: Final = Metric(
    name="pipeline.retries",
    kind="counter",
    unit="{attempt}",
    description="Attempts at processing a message after a failed one.",
)
RETRY_DURATION: Final = Metric(
    name="pipeline.retry.duration",
    kind="histogram",
    unit="s",
    description="From the end of the first attempt to the start of the last one.",
    # From an immediate second attempt to minutes of exponential backoff.
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
)
DEAD_LETTERS: Final = Metric(
    name="pipeline.dead_letters",
    kind="counter",
    unit="{message}",
    description="Messages that a group gave up on and moved to its dead-letter topic.",
)
DEAD_LETTERS_REPLAYED: Final = Metric(
    name="pipeline.dead_letters.replayed",
    kind="counter",
    unit="{message}",
    description="Dead letters that were sent back to the topic that they came from.",
)
DUPLICATES: Final = Metric(
    name="pipeline.duplicates",
    kind="counter",
    unit="{message}",
    description="Messages that were skipped because their event had been applied before.",
)
OUTBOX_PENDING: Final = Metric(
    name="pipeline.outbox.pending",
    kind="gauge",
    unit="{message}",
    description="Messages that are stored in an outbox and not yet acknowledged by the broker.",
)
OUTBOX_OLDEST_AGE: Final = Metric(
    name="pipeline.outbox.oldest_age",
    kind="gauge",
    unit="s",
    description="How long the oldest of the pending messages has waited; 0 where there is none.",
)
CONTEXT_INVALID: Final = Metric(
    name="pipeline.context.invalid",
    kind="counter",
    unit="{header}",
    description="Headers that could not be parsed and were treated as absent.",
)
CLOCK_SKEW: Final = Metric(
    name="pipeline.clock_skew",
    kind="counter",
    unit="{message}",
    description="Negative durations between hosts that were clamped to zero.",
)
TELEMETRY_DROPPED: Final = Metric(
    name="pipeline.telemetry.dropped",
    kind="counter",
    unit="{item}",
    description="Telemetry that was given up so that the application could go on.",
)

METRICS: Final = (
    SENT_MESSAGES,
    CONSUMED_MESSAGES,
    OPERATION_DURATION,
    PROCESS_DURATION,
    RETRIES,
    RETRY_DURATION,
    DEAD_LETTERS,
    DEAD_LETTERS_REPLAYED,
    DUPLICATES,
    OUTBOX_PENDING,
    OUTBOX_OLDEST_AGE,
    CONTEXT_INVALID,
    CLOCK_SKEW,
    TELEMETRY_DROPPED,
)
