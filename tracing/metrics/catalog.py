"""Every metric as data: what instruments, dashboards and documents are made from.

A metric or label that is recorded and not in here, or in here and not recorded, fails a test.
"""

from typing import Final

from tracing.core import semconv
from tracing.metrics import (
    catch_up_metrics,
    cluster_metrics,
    lag_metrics,
    saga_metrics,
    schema_metrics,
    telemetry_metrics,
)
from tracing.metrics.buckets import (
    ATTEMPT_BUCKETS,
    BODY_BUCKETS,
    DURATION_BUCKETS,
    LAG_BUCKETS,
    RETRY_BUCKETS,
)
from tracing.metrics.metric import Metric

_OPERATION: Final = (semconv.SYSTEM, semconv.OPERATION_NAME, semconv.DESTINATION)
_TYPED_OPERATION: Final = (*_OPERATION, semconv.OPERATION_TYPE)
_HOP: Final = (semconv.DESTINATION, semconv.GROUP)
_FLOW: Final = (semconv.PIPELINE_LABEL, *_HOP)

SENT_MESSAGES: Final = Metric(
    name="messaging.client.sent.messages",
    kind="counter",
    unit="{message}",
    description=(
        "Messages that the broker acknowledged to a producer. Those of a transaction count when "
        "they are acknowledged, even if the transaction aborts."
    ),
    labels=(*_OPERATION, semconv.KIND_LABEL, semconv.MESSAGE_TYPE),
)
CONSUMED_MESSAGES: Final = Metric(
    name="messaging.client.consumed.messages",
    kind="counter",
    unit="{message}",
    description="Messages delivered to the application, once per delivery.",
    labels=(*_OPERATION, semconv.GROUP, semconv.KIND_LABEL, semconv.MESSAGE_TYPE),
)
OPERATION_DURATION: Final = Metric(
    name="messaging.client.operation.duration",
    kind="histogram",
    unit="s",
    description="Duration of a send, poll or commit, as the client measures it.",
    labels=(*_TYPED_OPERATION, semconv.GROUP, semconv.ERROR_TYPE),
    buckets=DURATION_BUCKETS,
)
PROCESS_DURATION: Final = Metric(
    name="messaging.process.duration",
    kind="histogram",
    unit="s",
    description="Duration of processing one message, one attempt.",
    labels=(*_OPERATION, semconv.GROUP, semconv.MESSAGE_TYPE, semconv.ERROR_TYPE),
    buckets=DURATION_BUCKETS,
)
RESOURCE_WAIT_DURATION: Final = Metric(
    name="pipeline.resource.wait.duration",
    kind="histogram",
    unit="s",
    description="How long a handler waited for what it shares with others, such as a database; "
    "each wait is part of the duration of its processing. Handlers report it.",
    labels=(*_HOP, semconv.RESOURCE_LABEL),
    buckets=DURATION_BUCKETS,
)
END_TO_END_DURATION: Final = Metric(
    name="pipeline.end_to_end.duration",
    kind="histogram",
    unit="s",
    description="From the creation of a flow's root event to the end of its successful processing "
    "at this hop. Replayed and skipped messages, and history, are not included.",
    labels=(*_FLOW, semconv.MESSAGE_TYPE),
    buckets=LAG_BUCKETS,
)
PUBLISH_DURATION: Final = Metric(
    name="pipeline.publish.duration",
    kind="histogram",
    unit="s",
    description="From an event's creation to its record's timestamp: outbox, batching, sending.",
    labels=(semconv.PIPELINE_LABEL, semconv.DESTINATION),
    buckets=LAG_BUCKETS,
)
WAIT_DURATION: Final = Metric(
    name="pipeline.wait.duration",
    kind="histogram",
    unit="s",
    description="From a record's timestamp to the start of its processing. Replayed messages and "
    "history are not included.",
    labels=_FLOW,
    buckets=LAG_BUCKETS,
)
# The conventions have an attribute for the size, and no metric: so this is not in their namespace.
BODY_SIZE: Final = Metric(
    name="pipeline.message.body.size",
    kind="histogram",
    unit="By",
    description="Size of the value of a processed message, as it was on the wire. Off by default.",
    labels=(semconv.DESTINATION, semconv.MESSAGE_TYPE),
    buckets=BODY_BUCKETS,
)
RETRIES: Final = Metric(
    name="pipeline.retries",
    kind="counter",
    unit="{attempt}",
    description="Attempts at processing a message after a failed one.",
    labels=(*_HOP, semconv.MESSAGE_TYPE, semconv.ERROR_TYPE),
)
RETRY_DURATION: Final = Metric(
    name="pipeline.retry.duration",
    kind="histogram",
    unit="s",
    description="From the end of the first attempt to the start of the last one; with the error "
    "of the last one if that failed. Replayed messages and history are not included.",
    labels=(*_FLOW, semconv.ERROR_TYPE),
    buckets=RETRY_BUCKETS,
)
FIRST_ATTEMPT_DURATION: Final = Metric(
    name="pipeline.retry.first_attempt.duration",
    kind="histogram",
    unit="s",
    description="Duration of the first attempt at a message, if a later attempt succeeded.",
    labels=_HOP,
    buckets=DURATION_BUCKETS,
)
RETRY_ATTEMPTS: Final = Metric(
    name="pipeline.retry.attempts",
    kind="histogram",
    unit="{attempt}",
    description="Attempts of a message that needed more than one, when it needs no more.",
    labels=_HOP,
    buckets=ATTEMPT_BUCKETS,
)
DEAD_LETTERS: Final = Metric(
    name="pipeline.dead_letters",
    kind="counter",
    unit="{message}",
    description="Messages that a group gave up on and moved to its dead-letter topic. Those that "
    "had been replayed before have the label replayed, as they are late in any case.",
    labels=(*_FLOW, semconv.MESSAGE_TYPE, semconv.ERROR_TYPE, semconv.REPLAYED_LABEL),
)
DEAD_LETTERS_REPLAYED: Final = Metric(
    name="pipeline.dead_letters.replayed",
    kind="counter",
    unit="{message}",
    description="Dead letters that were sent back to the topic that they came from.",
    labels=_HOP,
)
REPLAY_SKIPPED: Final = Metric(
    name="pipeline.replay.skipped",
    kind="counter",
    unit="{message}",
    description="Replayed dead letters that a group skipped, because they are another group's.",
    labels=_HOP,
)
REPLAY_RECORDS: Final = Metric(
    name="pipeline.replay.records",
    kind="counter",
    unit="{record}",
    description=(
        "Records that replays of read models have read, by outcome: applied, ignored, undecodable "
        "or skipped. They are in no figure of consumers."
    ),
    labels=(semconv.PROJECTION_LABEL, semconv.OUTCOME_LABEL),
)
REPLAY_REMAINING: Final = Metric(
    name="pipeline.replay.remaining",
    kind="gauge",
    unit="{record}",
    description="Records that the running replay of a read model has still to read.",
    labels=(semconv.PROJECTION_LABEL,),
)
PROJECTION_STALENESS: Final = Metric(
    name="pipeline.projection.staleness",
    kind="gauge",
    unit="s",
    description="How long the oldest record that a read model has not applied has been in the log, "
    "or at least has been known to be there; 0 if none is missing, and no value "
    "instead of 0 while the cluster has not answered for 24 s. All replicas report the same read "
    "models: take the maximum.",
    labels=(semconv.PROJECTION_LABEL, semconv.SERVICE),
)
UNREADABLE_SKIPPED: Final = Metric(
    name="pipeline.unreadable.skipped",
    kind="counter",
    unit="{message}",
    description="Messages that a group skipped because the client cannot read them.",
    labels=_HOP,
)
CONSUMER_SKIPPED: Final = Metric(
    name="pipeline.consumer.skipped",
    kind="counter",
    unit="{offset}",
    description="Offsets that a group's consumer jumped over: they were deleted before it read "
    "them (deleted), it went on at the end of the log after that (reset), or the application "
    "sought past them (seek). Transaction markers and compacted records do not count by "
    "themselves.",
    labels=(*_HOP, semconv.REASON),
)
DUPLICATES: Final = Metric(
    name="pipeline.duplicates",
    kind="counter",
    unit="{message}",
    description="Messages that were skipped because their event had been applied before.",
    labels=_HOP,
)
OUT_OF_ORDER: Final = Metric(
    name="pipeline.out_of_order",
    kind="counter",
    unit="{message}",
    description="Messages whose key was last handled in another partition, or whose event is older "
    "than the last handled one of its key and source.",
    labels=_HOP,
)
OUTBOX_PENDING: Final = Metric(
    name="pipeline.outbox.pending",
    kind="gauge",
    unit="{message}",
    description="Messages that are stored in an outbox and not yet acknowledged by the broker.",
    labels=(semconv.SERVICE,),
)
OUTBOX_OLDEST_AGE: Final = Metric(
    name="pipeline.outbox.oldest_age",
    kind="gauge",
    unit="s",
    description="How long the oldest of the pending messages has waited; 0 if there is none.",
    labels=(semconv.SERVICE,),
)
SAGA_STARTED: Final = saga_metrics.SAGA_STARTED
SAGA_ENDED: Final = saga_metrics.SAGA_ENDED
SAGA_DURATION: Final = saga_metrics.SAGA_DURATION
SAGA_STEP_DURATION: Final = saga_metrics.SAGA_STEP_DURATION
SAGA_COMPENSATIONS: Final = saga_metrics.SAGA_COMPENSATIONS
SAGA_ACTIVE: Final = saga_metrics.SAGA_ACTIVE
SAGA_OVERDUE: Final = saga_metrics.SAGA_OVERDUE
SAGA_OLDEST_AGE: Final = saga_metrics.SAGA_OLDEST_AGE
SAGA_STATE_OLDEST_AGE: Final = saga_metrics.SAGA_STATE_OLDEST_AGE
CATCH_UP_RECORDS: Final = catch_up_metrics.CATCH_UP_RECORDS
CATCH_UP_REMAINING: Final = catch_up_metrics.CATCH_UP_REMAINING
CATCH_UP_RATE: Final = catch_up_metrics.CATCH_UP_RATE
CONSUMER_LAG: Final = lag_metrics.CONSUMER_LAG
CONSUMER_LAG_TIME: Final = lag_metrics.CONSUMER_LAG_TIME
CONSUMER_STATUS: Final = lag_metrics.CONSUMER_STATUS
CONSUMER_ABANDONED: Final = lag_metrics.CONSUMER_ABANDONED
CONSUMER_CAUSE: Final = lag_metrics.CONSUMER_CAUSE
CONSUMER_CATCH_UP_TIME: Final = lag_metrics.CONSUMER_CATCH_UP_TIME
CONSUMER_RETENTION_USED: Final = lag_metrics.CONSUMER_RETENTION_USED
CONSUMER_RETENTION_LEFT: Final = lag_metrics.CONSUMER_RETENTION_LEFT
CONSUMER_LOST: Final = lag_metrics.CONSUMER_LOST
CONSUMER_COMMITTED: Final = lag_metrics.CONSUMER_COMMITTED
CONSUMER_REWOUND: Final = lag_metrics.CONSUMER_REWOUND
COMMAND_READERS: Final = lag_metrics.COMMAND_READERS
DEAD_LETTERS_DEPTH: Final = lag_metrics.DEAD_LETTERS_DEPTH
DEAD_LETTERS_OLDEST_AGE: Final = lag_metrics.DEAD_LETTERS_OLDEST_AGE
CLUSTER_REACHABLE: Final = cluster_metrics.CLUSTER_REACHABLE
CLUSTER_BROKERS: Final = cluster_metrics.CLUSTER_BROKERS
CLUSTER_UNDER_REPLICATED: Final = cluster_metrics.CLUSTER_UNDER_REPLICATED
CLUSTER_OFFLINE: Final = cluster_metrics.CLUSTER_OFFLINE
CLUSTER_LEADER_CHANGES: Final = cluster_metrics.CLUSTER_LEADER_CHANGES
SCHEMA_RECORDS: Final = schema_metrics.SCHEMA_RECORDS
CONTEXT_INVALID: Final = telemetry_metrics.CONTEXT_INVALID
CLOCK_SKEW: Final = telemetry_metrics.CLOCK_SKEW
TELEMETRY_DROPPED: Final = telemetry_metrics.TELEMETRY_DROPPED
EXPORT_TIME: Final = telemetry_metrics.EXPORT_TIME

METRICS: Final = (
    SENT_MESSAGES,
    CONSUMED_MESSAGES,
    OPERATION_DURATION,
    PROCESS_DURATION,
    RESOURCE_WAIT_DURATION,
    END_TO_END_DURATION,
    PUBLISH_DURATION,
    WAIT_DURATION,
    BODY_SIZE,
    RETRIES,
    RETRY_DURATION,
    FIRST_ATTEMPT_DURATION,
    RETRY_ATTEMPTS,
    DEAD_LETTERS,
    DEAD_LETTERS_REPLAYED,
    REPLAY_SKIPPED,
    REPLAY_RECORDS,
    REPLAY_REMAINING,
    PROJECTION_STALENESS,
    UNREADABLE_SKIPPED,
    CONSUMER_SKIPPED,
    DUPLICATES,
    OUT_OF_ORDER,
    OUTBOX_PENDING,
    OUTBOX_OLDEST_AGE,
    SAGA_STARTED,
    SAGA_ENDED,
    SAGA_DURATION,
    SAGA_STEP_DURATION,
    SAGA_COMPENSATIONS,
    SAGA_ACTIVE,
    SAGA_OVERDUE,
    SAGA_OLDEST_AGE,
    SAGA_STATE_OLDEST_AGE,
    CATCH_UP_RECORDS,
    CATCH_UP_REMAINING,
    CATCH_UP_RATE,
    CONSUMER_LAG,
    CONSUMER_LAG_TIME,
    CONSUMER_STATUS,
    CONSUMER_ABANDONED,
    CONSUMER_CAUSE,
    CONSUMER_CATCH_UP_TIME,
    CONSUMER_RETENTION_USED,
    CONSUMER_RETENTION_LEFT,
    CONSUMER_LOST,
    CONSUMER_COMMITTED,
    CONSUMER_REWOUND,
    COMMAND_READERS,
    DEAD_LETTERS_DEPTH,
    DEAD_LETTERS_OLDEST_AGE,
    CLUSTER_REACHABLE,
    CLUSTER_BROKERS,
    CLUSTER_UNDER_REPLICATED,
    CLUSTER_OFFLINE,
    CLUSTER_LEADER_CHANGES,
    SCHEMA_RECORDS,
    CONTEXT_INVALID,
    CLOCK_SKEW,
    TELEMETRY_DROPPED,
    EXPORT_TIME,
)
