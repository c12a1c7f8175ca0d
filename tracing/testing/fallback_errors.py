"""Stands in for `aiokafka.errors` where aiokafka is not installed: same names, same bases."""


class KafkaError(RuntimeError):
    """Base of what goes wrong with Kafka."""


class IllegalStateError(KafkaError):
    """The client is not in a state for that."""


class NoOffsetForPartitionError(KafkaError):
    """There is no committed offset, and none to fall back to."""


class ProducerClosed(KafkaError):  # noqa: N818 - aiokafka's name
    """The producer was stopped."""


class ConsumerStoppedError(Exception):
    """The consumer was stopped."""


class IllegalOperation(Exception):  # noqa: N818 - aiokafka's name
    """The client is not configured for that."""
