"""The dead letters of other systems as data: their headers, encodings and topics.

All systems append their headers to those of the record, and a name can repeat: the last one holds.
Only the ones of Spring are binary, as Java's `ByteBuffer` writes them.

Sources:
    Kafka Streams: https://cwiki.apache.org/confluence/display/KAFKA/KIP-1034, which copies the
        record's headers and timestamp, and in its first versions wrote the exception with its text.
    Share groups: https://cwiki.apache.org/confluence/display/KAFKA/KIP-1191.
    Kafka Connect: https://cwiki.apache.org/confluence/display/KAFKA/KIP-298 and its class
        `DeadLetterQueueReporter`; the group is that of `SinkUtils.consumerGroupId`.
    Spring for Apache Kafka: `KafkaHeaders`, `DeadLetterPublishingRecoverer` and, for topics of
        retries, `DeadLetterPublishingRecovererFactory` and `RetryTopicHeaders`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tracing.headers.codec import text
from tracing.headers.dead_letter import MAX_STACKTRACE, MAX_TEXT, number

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAMS: Final = "kafka-streams"
SHARE_GROUP: Final = "share-group"
CONNECT: Final = "kafka-connect"
SPRING: Final = "spring-kafka"
OWN: Final = "own"
"""Dead letters whose headers or topics the user described."""

Decoder = Callable[[object], Any]
"""Returns what a header's value holds, or `None`. Never raises."""

Sources = tuple[tuple[str, Decoder], ...]
"""The headers that hold one thing, the best first, each with its decoder."""

_MAX_MESSAGE: Final = 1024
_INT: Final = 4
_LONG: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What writes dead letters of its own form.

    Attributes:
        name: `Provenance.written_by`.
        fields: The headers of each field of `Provenance`. The ones of `topic` mark a dead letter of
            the system.
        details: The headers of each further detail.
        added: What the names of all headers that it adds begin with. A replay leaves them out.
        added_names: The names of such headers, where they have no beginning of their own.
        prefix: What its dead-letter topics begin with; empty if that does not identify them.
        suffixes: What its dead-letter topics have behind the name of the record's topic; none if
            that does not identify them.
        copies_records: Whether a dead letter holds the record's key, value and headers.
    """

    name: str
    fields: Mapping[str, Sources]
    details: Mapping[str, Sources] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    added_names: frozenset[str] = frozenset()
    prefix: str = ""
    suffixes: tuple[str, ...] = ()
    copies_records: bool = True

    def is_dead_letter_topic(self, topic: str) -> bool:
        """Return whether a topic is named as only the system names dead-letter topics."""
        return bool(self.prefix and topic.startswith(self.prefix)) or topic.endswith(self.suffixes)

    def adds(self, header: object) -> bool:
        """Return whether the system adds a header of this name to its dead letters."""
        if not isinstance(header, str):
            return False
        return header in self.added_names or header.startswith(self.added)


def name(value: object) -> str | None:
    """Decode the name of a topic or group: as it is, or not at all."""
    return text(value, MAX_TEXT)


def message(value: object) -> str | None:
    """Decode text for people, cut to 1 KiB."""
    return _cut(value, _MAX_MESSAGE)


def stacktrace(value: object) -> str | None:
    """Decode a stack trace, cut to 64 KiB."""
    return _cut(value, MAX_STACKTRACE)


def class_name(value: object) -> str | None:
    """Decode the class of an error, which its text may follow behind a colon."""
    decoded = message(value)
    return None if decoded is None else decoded.partition(":")[0].strip()


def int32(value: object) -> int | None:
    """Decode a Java int."""
    return _big_endian(value, _INT)


def int64(value: object) -> int | None:
    """Decode a Java long."""
    return _big_endian(value, _LONG)


def integer(value: object) -> int | None:
    """Decode a whole number: decimal text, or a Java int or long.

    Text comes first: as a binary number, four or eight digits would be above 800 million.
    """
    decoded = number(value)
    if decoded is None:
        decoded = int32(value)
    return int64(value) if decoded is None else decoded


def moment(value: object) -> int | None:
    """Decode a time to unix ms: a whole number of ms, or ISO 8601, in UTC if it has no zone."""
    decoded = integer(value)
    if decoded is not None:
        return decoded
    try:
        parsed = datetime.fromisoformat(name(value) or "")
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def _cut(value: object, limit: int) -> str | None:
    return value[:limit].decode("utf-8", "replace") if isinstance(value, bytes) else None


def _big_endian(value: object, length: int) -> int | None:
    if not isinstance(value, bytes) or len(value) != length:
        return None
    return int.from_bytes(value, "big", signed=True)


def _sink_group(value: object) -> str | None:
    """Return the consumer group that Connect gives a connector, unless its configuration does."""
    connector = name(value)
    return None if not connector else f"connect-{connector}"


def _attempts_before(value: object) -> int | None:
    """Decode the number of the next attempt: a Java int, or one byte of older versions."""
    upcoming = value[0] if isinstance(value, bytes) and len(value) == 1 else int32(value)
    return None if upcoming is None else max(0, upcoming - 1)


def _spring(prefix: str, *, added: tuple[str, ...], **more: Sources) -> System:
    return System(
        name=SPRING,
        fields={
            "topic": ((f"{prefix}original-topic", name),),
            "partition": ((f"{prefix}original-partition", int32),),
            "offset": ((f"{prefix}original-offset", int64),),
            "timestamp_ms": ((f"{prefix}original-timestamp", int64),),
            # Both of Spring's ways use this name.
            "group": (("kafka_dlt-original-consumer-group", name),),
            # The outer exception only says that a listener failed.
            "exception": tuple(
                (f"{prefix}{which}", class_name)
                for which in ("exception-cause-fqcn", "exception-fqcn", "key-exception-fqcn")
            ),
            "message": (
                (f"{prefix}exception-message", message),
                (f"{prefix}key-exception-message", message),
            ),
            "stacktrace": (
                (f"{prefix}exception-stacktrace", stacktrace),
                (f"{prefix}key-exception-stacktrace", stacktrace),
            ),
            **more,
        },
        added=added,
        added_names=frozenset({"kafka_dlt-original-consumer-group", "kafka_deliveryAttempt"}),
        # Spring for Apache Kafka 3.3 changed the default from .DLT to -dlt.
        suffixes=("-dlt", ".DLT"),
    )


SYSTEMS: Final = (
    System(
        name=STREAMS,
        fields={
            "topic": (("__streams.errors.topic", name),),
            "partition": (("__streams.errors.partition", number),),
            "offset": (("__streams.errors.offset", number),),
            "exception": (("__streams.errors.exception", class_name),),
            "message": (("__streams.errors.message", message),),
            "stacktrace": (("__streams.errors.stacktrace", stacktrace),),
        },
        added=("__streams.errors.",),
    ),
    System(
        name=SHARE_GROUP,
        fields={
            "topic": (("__dlq.errors.topic", name),),
            "partition": (("__dlq.errors.partition", number),),
            "offset": (("__dlq.errors.offset", number),),
            "group": (("__dlq.errors.group", name),),
            "attempts": (("__dlq.errors.delivery.count", number),),
            "message": (("__dlq.errors.message", message),),
        },
        added=("__dlq.errors.",),
        prefix="dlq.",
        copies_records=False,
    ),
    System(
        name=CONNECT,
        fields={
            "topic": (("__connect.errors.topic", name),),
            "partition": (("__connect.errors.partition", number),),
            "offset": (("__connect.errors.offset", number),),
            "group": (("__connect.errors.connector.name", _sink_group),),
            "exception": (("__connect.errors.exception.class.name", class_name),),
            "message": (("__connect.errors.exception.message", message),),
            "stacktrace": (("__connect.errors.exception.stacktrace", stacktrace),),
        },
        details={
            "connector": (("__connect.errors.connector.name", message),),
            "task": (("__connect.errors.task.id", message),),
            "stage": (("__connect.errors.stage", message),),
            "class": (("__connect.errors.class.name", message),),
        },
        added=("__connect.errors.",),
    ),
    _spring(
        "kafka_dlt-",
        added=("kafka_dlt-", "springDeserializerException"),
        attempts=(("kafka_deliveryAttempt", int32),),
    ),
    _spring(
        "kafka_",
        added=("kafka_original-", "kafka_exception-", "kafka_key-exception-", "retry_topic-",
               "springDeserializerException"),
        # With this header left in place, the record would go straight to the dead letters again.
        attempts=(("retry_topic-attempts", _attempts_before),),
    ),
)  # fmt: skip
"""The systems whose dead letters are known by their headers."""
