"""What the library asks of a client and its broker. Each kind of broker has a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tracing.core.semconv import CLIENT_ID, SERVER_ADDRESS, SERVER_PORT

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from tracing.core.semconv import Attributes, AttributeValue


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


class Transport(Protocol):
    """One kind of broker. It has no state.

    Attributes:
        system: The broker's name in `messaging.system`.
    """

    @property
    def system(self) -> str:
        """The broker's name in `messaging.system`."""

    def attributes(self, message: Any) -> Attributes:
        """Return the span attributes of one message, beside those of its lane."""

    def placement(self, placed: Any) -> dict[str, AttributeValue]:
        """Return the span attributes that locate a message, or the acknowledgement of one."""

    def position(self, message: Any) -> Mapping[str, int]:
        """Return where a message is in its destination, by the names that logs use."""

    def place(self, message: Any) -> str:
        """Return where a message is, for a log line."""

    def lane(self, message: Any) -> Hashable:
        """Return what keeps a message in order: a partition, a queue, a routing key."""

    def lane_name(self, lane: Any) -> str:
        """Return a lane's name, for a log line."""


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
    """

    transport: Transport
    client_id: str | None = None
    group: str | None = None
    servers: tuple[tuple[str, int], ...] = ()
    auto_commit: bool | None = None
    codec: bool = False
    acknowledged: bool = True
    transactional_id: str | None = None

    def attributes(self) -> Mapping[str, str | int]:
        """Describe the client as span attributes; of several servers, the first."""
        attributes: dict[str, str | int] = {}
        if self.client_id is not None:
            attributes[CLIENT_ID] = self.client_id
        if self.servers:
            host, port = self.servers[0]
            attributes[SERVER_ADDRESS] = host
            attributes[SERVER_PORT] = port
        return attributes
