"""Headers of dead letters, written as other systems write them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracing.headers.codec import Header

MINE: list[Header] = [
    ("mine", b"\xff"),
    ("ce_id", b"e1"),
    ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
]
"""Headers that the record had before it failed."""

_TRACE = b"java.lang.IllegalStateException: card 4711\n\tat shop.Sink.put(Sink.java:7)\n"


def streams(topic: str | None, partition: int = 1, offset: int = 7) -> list[Header]:
    """Write as Kafka Streams 4.2 does."""
    return [
        *MINE,
        ("__streams.errors.exception", b"java.lang.IllegalStateException"),
        ("__streams.errors.message", b"no such order"),
        ("__streams.errors.stacktrace", _TRACE),
        ("__streams.errors.topic", None if topic is None else topic.encode()),
        ("__streams.errors.partition", b"%d" % partition),
        ("__streams.errors.offset", b"%d" % offset),
    ]


def share_group(
    topic: str, partition: int = 1, offset: int = 7, *, group: str = "workers"
) -> list[Header]:
    """Write as a broker does for a share group; it copies no headers of the record."""
    return [
        ("__dlq.errors.topic", topic.encode()),
        ("__dlq.errors.partition", b"%d" % partition),
        ("__dlq.errors.offset", b"%d" % offset),
        ("__dlq.errors.group", group.encode()),
        ("__dlq.errors.delivery.count", b"5"),
        ("__dlq.errors.message", b"Offset delivery count exceeded the threshold."),
    ]


def connect(topic: str, partition: int = 1, offset: int = 7) -> list[Header]:
    """Write as Kafka Connect does with `errors.deadletterqueue.context.headers.enable`."""
    return [
        *MINE,
        ("__connect.errors.topic", topic.encode()),
        ("__connect.errors.partition", b"%d" % partition),
        ("__connect.errors.offset", b"%d" % offset),
        ("__connect.errors.connector.name", b"orders-sink"),
        ("__connect.errors.task.id", b"0"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
        ("__connect.errors.exception.class.name", b"org.apache.kafka.common.DataException"),
        ("__connect.errors.exception.message", b"not JSON"),
        ("__connect.errors.exception.stacktrace", _TRACE),
    ]


def spring(topic: str, partition: int = 1, offset: int = 7) -> list[Header]:
    """Write as `DeadLetterPublishingRecoverer` does."""
    return [
        *MINE,
        ("kafka_deliveryAttempt", struct.pack(">i", 3)),
        ("kafka_dlt-exception-fqcn", b"shop.ListenerExecutionFailedException"),
        ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_dlt-exception-message", b"Listener failed; no such order"),
        ("kafka_dlt-exception-stacktrace", _TRACE),
        ("kafka_dlt-original-topic", topic.encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", partition)),
        ("kafka_dlt-original-offset", struct.pack(">q", offset)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", 1_700_000_000_000)),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"billing"),
    ]


def spring_retry_topics(topic: str, partition: int = 1, offset: int = 7) -> list[Header]:
    """Write as the last of Spring's topics of retries does."""
    return [
        *MINE,
        ("kafka_exception-fqcn", b"shop.ListenerExecutionFailedException"),
        ("kafka_exception-cause-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_exception-message", b"Listener failed; no such order"),
        ("kafka_exception-stacktrace", _TRACE),
        ("kafka_original-topic", topic.encode()),
        ("kafka_original-partition", struct.pack(">i", partition)),
        ("kafka_original-offset", struct.pack(">q", offset)),
        ("kafka_original-timestamp", struct.pack(">q", 1_700_000_000_000)),
        ("kafka_original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"billing"),
        ("retry_topic-original-timestamp", b"\x01\x8b\xcf\xe5\x68\x00"),
        ("retry_topic-attempts", struct.pack(">i", 4)),
        ("retry_topic-backoff-timestamp", b"\x01\x8b\xcf\xe5\x68\x00"),
    ]
