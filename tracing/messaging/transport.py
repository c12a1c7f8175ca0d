"""What the library asks of a client and its broker. Each kind of broker has a folder of its own."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from tracing.core.semconv import CLIENT_ID, SERVER_ADDRESS, SERVER_PORT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractContextManager

    from tracing.core.semconv import Attributes, AttributeValue
    from tracing.headers.codec import Header
    from tracing.messaging.transactions import TransactionalProducer
    from tracing.telemetry import Telemetry

# Proxies around a client. Some objects have any attribute, also `__wrapped__`, without end.
_MAX_LAYERS: Final = 8


class Message(Protocol):
    """A message as its handler receives it. aiokafka's record is one."""

    @property
    def topic(self) -> str:
        """Name of its destination."""

    @property
    def headers(self) -> Any:
        """Its headers, as pairs of a name and bytes."""

    @property
    def timestamp(self) -> int:
        """When it was sent, in unix ms; -1 where that is unknown."""

    @property
    def key(self) -> Any:
        """Its key; `None` where it has none."""

    @property
    def value(self) -> Any:
        """Its body; `None` for a tombstone."""


class Lane(Hashable, Protocol):
    """What keeps messages in order: a partition, a queue, a routing key."""

    @property
    def topic(self) -> str:
        """Name of the destination that it is part of."""


class Transport(Protocol):
    """One kind of broker, as telemetry and logs describe it. It has no state."""

    @property
    def system(self) -> str:
        """The broker's name in `messaging.system.name`."""

    def attributes(self, message: Any) -> Attributes:
        """Return the span attributes of one message, beside those of its lane."""

    def placement(self, placed: Any) -> dict[str, AttributeValue]:
        """Return the span attributes that locate a message, or what `send_raw` returned."""

    def position(self, message: Any) -> Mapping[str, int]:
        """Return where a message is in its destination, by the names that logs use.

        A dead letter keeps `partition` and `offset`, where there are any.
        """

    def offset(self, message: Any) -> int | None:
        """Return the number that orders the messages of a lane; `None` where they have none."""

    def place(self, message: Any) -> str:
        """Return where a message is, for a log line."""

    def body_size(self, message: Any) -> int:
        """Return the size of a message's body, in bytes."""

    def lane(self, message: Any) -> Hashable:
        """Return the `Lane` of a message, or a value that equals it."""

    @property
    def lane_plural(self) -> str:
        """What logs call its lanes, such as `partitions`: in their text, and as a field's name."""

    def lane_names(self, lanes: Collection[Any]) -> str:
        """Return the names of lanes, for a log line; an empty text for none."""


class Described(Protocol):
    """Values that spans share, such as those of a topic."""

    attributes: dict[str, AttributeValue]


class BrokerFacts:
    """What a client learns of its broker while it runs. For one event loop.

    Attributes:
        attributes: The same as span attributes; empty until there is something to know.
    """

    __slots__ = ("_described", "attributes")

    def __init__(self) -> None:
        self.attributes: dict[str, AttributeValue] = {}
        self._described: weakref.WeakSet[Described] = weakref.WeakSet()

    def keep_described(self, values: Described) -> None:
        """Keep the attributes of values up to date that were made of `ClientInfo.attributes()`."""
        self._described.add(values)

    def learn(self, name: str, value: AttributeValue) -> None:
        """Note a fact, and describe everything by it from now on."""
        if self.attributes.get(name) == value:
            return
        self.attributes[name] = value
        for values in self._described:
            # A new mapping: spans that have started share the old one.
            values.attributes = {**values.attributes, name: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInfo:
    """How a client is configured, as far as that is visible.

    Attributes:
        transport: The kind of broker that it is connected to.
        client_id: The client's name, such as Kafka's `client.id`.
        group: The consumer group.
        servers: The servers that it first connects to, as `(host, port)`.
        auto_commit: Whether the client commits by itself; `None` when unknown.
        codec: Whether the client turns bytes into objects or objects into bytes.
        acknowledged: Whether a producer waits for the broker; true where that is unknown.
        transactional_id: Name of a producer's transactions, where it has any.
        broker: What the client learns of its broker once it is connected.
    """

    transport: Transport
    client_id: str | None = None
    group: str | None = None
    servers: tuple[tuple[str, int], ...] = ()
    auto_commit: bool | None = None
    codec: bool = False
    acknowledged: bool = True
    transactional_id: str | None = None
    broker: BrokerFacts = field(default_factory=BrokerFacts, compare=False)

    def attributes(self) -> Mapping[str, AttributeValue]:
        """Describe the client and its broker as span attributes; of several servers, the first."""
        attributes: dict[str, AttributeValue] = {**self.broker.attributes}
        if self.client_id is not None:
            attributes[CLIENT_ID] = self.client_id
        if self.servers:
            host, port = self.servers[0]
            attributes[SERVER_ADDRESS] = host
            attributes[SERVER_PORT] = port
        return attributes


def check_durable(info: ClientInfo, sender: str, records: str) -> None:
    """Refuse a producer whose acknowledgement does not mean that a record is there for good.

    Inside a transaction an acknowledgement is provisional: a later abort takes the record back
    (KIP-98). Without acknowledgements there is nothing to wait for.

    Args:
        info: The producer.
        sender: What sends with it, for the error.
        records: What it sends, for the error.

    Raises:
        ValueError: The producer is transactional, or does not wait for acknowledgements.
    """
    if info.transactional_id is not None:
        raise ValueError(
            f"{sender} cannot send with the transactional producer {info.transactional_id!r}: "
            f"{records} would join whatever transaction is open, and would be gone when that "
            f"aborts; give {sender} a producer of its own, without transactional_id"
        )
    if not info.acknowledged:
        raise ValueError(
            f"{records} must be on the broker before their source is marked as done: give "
            f"{sender} a producer that waits for acknowledgements, acks='all'"
        )


class Port(Protocol):
    """The private side of a client: what the library needs and an application does not."""

    @property
    def info(self) -> ClientInfo:
        """How the client is configured."""

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""


class Sender(Port, Protocol):
    """The private side of a producer."""

    async def send_raw(
        self, topic: str, value: bytes | None, key: bytes | None, headers: list[Header]
    ) -> Any:
        """Send bytes without a span; return the broker's acknowledgement once it is there."""

    def is_destination(self, name: str) -> bool:
        """Return whether the broker accepts a name for a destination."""

    def owned(self) -> AbstractContextManager[TransactionalProducer]:
        """Own the producer's transactions in a block.

        Called only where `info` has a `transactional_id`.

        Raises:
            RuntimeError: Another loop owns them.
        """


class Producer(Protocol):
    """A producer that `DeadLetters` sends with, such as a `TracedProducer`."""

    def _pipeline_sender(self) -> Sender:
        """Return what only the library needs of it."""


def sender_of(producer: object) -> Sender | None:
    """Return the private side of a producer, or of the one in a proxy; `None` where it has none."""
    return cast("Sender | None", private_side(producer, "_pipeline_sender"))


def private_side(client: object, name: str) -> object:
    """Return the private side of a client; `None` where it has none.

    Its class offers it by a method, so that the client has no public name for it. Of a proxy that
    has `__wrapped__`, such as one of wrapt's, it is that of the client inside.

    Args:
        client: The client.
        name: The method's name.
    """
    for _ in range(_MAX_LAYERS):
        make = getattr(type(client), name, None)
        if make is not None:
            return make(client)
        client = getattr(client, "__wrapped__", None)
        if client is None:
            break
    return None
