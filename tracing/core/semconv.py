"""Every attribute, event and span-name literal that the library writes, in one place.

`messaging.*` names follow the OpenTelemetry messaging semantic conventions 1.45.0 (status:
development). What the conventions do not define lives under `pipeline.`, outside their namespace.
"""

from collections.abc import Mapping
from typing import Final

from tracing.core.version import __version__

AttributeValue = str | bool | int | float
Attributes = Mapping[str, AttributeValue]

SCOPE_NAME: Final = "pipeline-tracing"
SCOPE_VERSION: Final = __version__
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.45.0"

SYSTEM: Final = "messaging.system.name"
SYSTEM_KAFKA: Final = "kafka"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
OFFSET: Final = "kafka.offset"
TOMBSTONE: Final = "kafka.message.tombstone"
MESSAGE_KEY: Final = "kafka.message.key"
CLUSTER_ID: Final = "kafka.cluster.id"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"
BODY_SIZE: Final = "messaging.message.body.size"
BATCH_COUNT: Final = "messaging.batch.message_count"
CLIENT_ID: Final = "messaging.client.id"
GROUP: Final = "messaging.consumer.group.name"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
OTHER: Final = "_OTHER"
"""The value that the conventions give `error.type` where the type is not known."""
EVENT_TYPE: Final = "cloudevents.event_type"
"""The message's type, from the conventions for CloudEvents."""
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

PIPELINE: Final = "pipeline.name"
ORIGIN: Final = "pipeline.origin"
OUTCOME: Final = "pipeline.outcome"
REJECTION_REASON: Final = "pipeline.rejection.reason"
WAIT: Final = "pipeline.wait.duration"
"""From the record's timestamp to the start of its processing, in seconds."""
PUBLISH: Final = "pipeline.publish.duration"
"""From the event's creation to the record's timestamp, in seconds."""
END_TO_END: Final = "pipeline.end_to_end.duration"
"""From the origin of the flow to the end of processing here, in seconds."""
RESOURCE_WAIT: Final = "pipeline.resource.wait"
"""With a dot and the resource: how long an attempt waited for it, in seconds."""
LINKS_DROPPED: Final = "pipeline.links.dropped"
ATTEMPT: Final = "pipeline.retry.attempt"
"""The number of an attempt; the first one is 1."""
BACKOFF: Final = "pipeline.retry.backoff"
"""How long was waited before an attempt, in seconds."""
RETRY_CAUSE: Final = "pipeline.retry.cause"
"""The `error.type` of the attempt before."""
ATTEMPTS: Final = "pipeline.attempts"
"""How many attempts there were, where it was more than one."""
CATCH_UP: Final = "pipeline.catch_up"
"""Whether a message was history to a group that started on it; absent where it was not."""
REPLAY_ID: Final = "pipeline.replay.id"
REPLAY_EDITED: Final = "pipeline.replay.edited"
"""Whether the value was edited before the replay; absent where it was not."""
REPLAY_READ_MODEL: Final = "pipeline.replay.read_model"
"""The read model for which records are handled again."""
REPLAY_GENERATION: Final = "pipeline.replay.generation"
"""The generation of its rows that is built."""
DUPLICATE: Final = "pipeline.duplicate"
"""The span event of a message that was skipped because it had already been applied."""
OUT_OF_ORDER: Final = "pipeline.out_of_order"
"""The span event of a message that was handled out of order."""
ORDER_FAULT: Final = "pipeline.out_of_order.fault"
"""On that event: `partition_changed` or `older`."""
PARTITION_CHANGED: Final = "partition_changed"
OLDER: Final = "older"
ORDER_BEFORE: Final = "pipeline.out_of_order.before"
"""On that event, of `partition_changed`: where the key was last handled, such as `orders[0]`."""
ORDER_BEHIND: Final = "pipeline.out_of_order.behind"
"""On that event, of `older`: how much older the event is than the last one, in seconds."""
SAGA: Final = "pipeline.saga.name"
SAGA_ID: Final = "pipeline.saga.id"
SAGA_OUTCOME: Final = "pipeline.saga.outcome"
SAGA_OVERDUE: Final = "pipeline.saga.overdue"
"""Whether a saga took longer than its deadline; absent where it did not."""
SAGA_REASON: Final = "pipeline.saga.reason"
SAGA_STEP: Final = "pipeline.saga.step"
SAGA_COMPENSATION: Final = "pipeline.saga.compensation"
"""Whether a step undoes another one; absent where it does not."""
COMPENSATING: Final = "pipeline.saga.compensating"
"""The span event at which a saga begins to compensate."""
SCHEMA_ID: Final = "pipeline.schema.id"
"""The id of the schema that a value was written with, as text: a number or a GUID."""
SCHEMA_SUBJECT: Final = "pipeline.schema.subject"
SCHEMA_VERSION: Final = "pipeline.schema.version"
"""The version, within its subject, of the schema that a value was written with."""
SCHEMA_READER_VERSION: Final = "pipeline.schema.reader.version"
"""The version that the reader uses; absent where it is the written one, or not declared."""
PIPELINE_LABEL: Final = "pipeline"
MESSAGE_TYPE: Final = "message.type"
"""The label for the message's type; its values are bounded."""
MESSAGE_KIND: Final = "pipeline.message.kind"
"""Whether the messages of a topic are events or commands, where that is declared."""
KIND_LABEL: Final = "message.kind"
COMMAND_KIND: Final = "command"
EVENT_KIND: Final = "event"
PROJECTION_LABEL: Final = "projection"
"""The label for a read model; its values are few."""
SAGA_LABEL: Final = "saga"
STEP_LABEL: Final = "step"
STATE_LABEL: Final = "state"
OUTCOME_LABEL: Final = "outcome"
REPLAYED_LABEL: Final = "replayed"
STATUS_LABEL: Final = "status"
CAUSE_LABEL: Final = "cause"
COUNTED_BY_LABEL: Final = "counted.by"
"""Whether a durable store counts the sagas, for all processes, or each process its own."""
BY_STORE: Final = "store"
BY_PROCESS: Final = "process"
SUBJECT_LABEL: Final = "subject"
VERSION_LABEL: Final = "version"
UNKNOWN: Final = "unknown"
"""The label for a schema's subject and version where they are not known."""
RESOURCE_LABEL: Final = "resource"
"""The label for what handlers share and wait for; its values are bounded."""
SERVICE: Final = "service.name"
REASON: Final = "reason"
SIGNAL: Final = "signal"

CREATE: Final = "create"
SEND: Final = "send"
POLL: Final = "poll"
PROCESS: Final = "process"
COMMIT: Final = "commit"
RETRY: Final = "retry"
DEAD_LETTER: Final = "dead_letter"
REPLAY: Final = "replay"
SAGA_SPAN: Final = "saga"
SAGA_STEP_SPAN: Final = "saga.step"
SAGA_START_SPAN: Final = "saga.start"

OPERATION_TYPES: Final = {
    CREATE: "create",
    SEND: "send",
    POLL: "receive",
    PROCESS: "process",
    COMMIT: "settle",
    RETRY: "process",
    DEAD_LETTER: "send",
    REPLAY: "send",
}
"""Operation name, which is Kafka's own word, to the conventions' operation type."""


def span_name(operation: str, destination: str | None) -> str:
    """Name a span `{operation} {destination}`; several destinations have no name to give."""
    return f"{operation} {destination}" if destination else operation


def exception_event(operation: str) -> str:
    """Name the log event that records a failed operation, by its conventional type."""
    return f"messaging.{OPERATION_TYPES[operation]}.exception"


def error_type(error: BaseException) -> str:
    """Name an error as `error.type`: its class, qualified unless built in. Bounded by the code."""
    kind = type(error)
    try:
        module = kind.__module__
    except Exception:
        # A metaclass may do as it likes; what names errors must not raise.
        return OTHER
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
