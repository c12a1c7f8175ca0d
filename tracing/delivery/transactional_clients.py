"""Which clients can handle records exactly once, and how they do so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.core.log import warn_once
from tracing.kafka.client import group_consumer, reads_uncommitted, transactional_producer
from tracing.kafka.group_offsets import PublicGroup
from tracing.kafka.producer import TracedProducer

if TYPE_CHECKING:
    from tracing.delivery.failure_handling import FailureHandling
    from tracing.delivery.transactions import GroupOffsets
    from tracing.kafka.consumer import TracedConsumer


def group_offsets(
    consumer: TracedConsumer, producer: TracedProducer, handling: FailureHandling
) -> GroupOffsets:
    """Check that clients fit; returns how the group's offsets join the producer's transactions.

    Raises:
        TypeError: The producer is not wrapped.
        ValueError: A client does not fit.
        RuntimeError: A client is not started, or the installed aiokafka is built otherwise.
    """
    if not isinstance(producer, TracedProducer):
        raise TypeError(
            "consume(transactional=...) takes a TracedProducer; wrap it: "
            f"TracedProducer({producer!r})"
        )
    if producer.info.transactional_id is None:
        raise ValueError(
            "consume(transactional=...) takes a producer with a transactional_id, unique to this "
            "process"
        )
    letters = handling.dead_letters
    if letters is not None and not (letters.transactional and letters.producer is producer):
        raise ValueError(
            "consume(transactional=producer) sends dead letters in its transactions: give it "
            "DeadLetters(producer, transactional=True), of the same producer"
        )
    if consumer.info.group is None:
        raise ValueError(
            "consume(transactional=...) commits offsets of a group, and this consumer has none: "
            "give it a group_id"
        )
    inner_consumer = group_consumer(consumer.wrapped)
    inner_producer = transactional_producer(producer.wrapped)
    if inner_producer is None or inner_consumer is None:
        if all(
            type(client).__module__.startswith("tracing.testing")
            for client in (consumer.wrapped, producer.wrapped)
        ):
            return PublicGroup(consumer.wrapped, producer.wrapped)
        raise ValueError(
            "consume(transactional=...) takes clients of aiokafka, and cannot find them inside "
            f"{type(consumer.wrapped).__name__} and {type(producer.wrapped).__name__}"
        )
    if reads_uncommitted(inner_consumer):
        warn_once(
            "consume(transactional=...) reads with isolation_level='read_uncommitted': records of "
            "aborted transactions in the source topics are handled as well"
        )
    from tracing.kafka.group_transactions import (  # noqa: PLC0415 - it needs aiokafka
        GroupTransactions,
    )

    return GroupTransactions(inner_consumer, inner_producer)
