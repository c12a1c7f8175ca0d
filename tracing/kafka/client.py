"""The configuration and state of an aiokafka client, read tolerantly: most of it is private.

This is no fast path, and no switch turns it off: commits and dead letters depend on the group, and
spans show the rest. What cannot be read is unknown, and the library goes on without it.
`tracing.kafka.client_internals` holds what the transactions of a group need.
"""

from typing import Any, Literal

from tracing.core.text import plain_text
from tracing.kafka.transport import KAFKA
from tracing.messaging.transport import BrokerFacts, ClientInfo

_MAX_LAYERS = 8
_INNER = ("_producer", "_consumer", "_inner")
_CODECS = ("_key_deserializer", "_value_deserializer", "_key_serializer", "_value_serializer")


def client_info(
    client: object,
    *,
    group: str | None,
    client_id: str | None,
    broker: BrokerFacts | None = None,
) -> ClientInfo:
    """Read a client's configuration; what it hides stays unknown.

    Args:
        client: An aiokafka producer or consumer, or anything that looks like one.
        group: Overrides the client's own.
        client_id: Overrides the client's own.
        broker: What the client learns of its broker; by default nothing.

    Raises:
        TypeError: `group` or `client_id` is no text.
    """
    group = None if group is None else plain_text(group, "group")
    client_id = None if client_id is None else plain_text(client_id, "client_id")
    inner = _attribute(client, "client", "_client")
    group = group or _text(_attribute(client, "group_id", "_group_id"))
    client_id = client_id or _text(
        _attribute(inner, "_client_id") or _attribute(client, "client_id")
    )
    auto_commit = _attribute(client, "enable_auto_commit", "_enable_auto_commit")
    return ClientInfo(
        transport=KAFKA,
        client_id=client_id,
        group=group,
        servers=_servers(_attribute(inner, "_bootstrap_servers")),
        auto_commit=auto_commit if isinstance(auto_commit, bool) else None,
        codec=any(callable(_attribute(client, name)) for name in _CODECS),
        acknowledged=all(
            _attribute(_attribute(layer, "_sender"), "_acks") != 0 for layer in layers(client)
        ),
        transactional_id=next(filter(None, map(_transactional_id, layers(client))), None),
        broker=broker or BrokerFacts(),
    )


def layers(client: object) -> list[object]:
    """Return the client, and what it wraps: a wrapper need not pass private attributes on."""
    layers = [client]
    while len(layers) < _MAX_LAYERS and not _is_aiokafkas(layers[-1]):
        inner = _attribute(layers[-1], "wrapped", "__wrapped__", *_INNER) or _held(layers[-1])
        if inner is None or isinstance(inner, bool | str | bytes | int):
            break
        layers.append(inner)
    return layers


def _is_aiokafkas(client: object) -> bool:
    """Return whether it is aiokafka's own client, so that a client that it holds is another one."""
    kinds = type(client).__mro__
    return (
        any(kind.__module__.startswith("aiokafka.") for kind in kinds)
        and _attribute(client, "client", "_client") is not None
    )


def _held(wrapper: object) -> object:
    """Return the client that an object holds under any name."""
    try:
        values = tuple(vars(wrapper).values())
    except Exception:
        # An object with slots has no `vars`, and others may refuse to show theirs.
        return None
    for value in values:
        if any(callable(_attribute(value, name)) for name in ("send_and_wait", "getmany")):
            return value
    return None


def cluster_metadata(client: object) -> object:
    """Return where a client keeps what it knows of its cluster; `None` for a double."""
    for layer in layers(client):
        metadata = _attribute(_attribute(layer, "client", "_client"), "cluster")
        if metadata is not None:
            return metadata
    return None


def is_started(consumer: object) -> bool:
    """Return whether a consumer is started; true where that is unknown."""
    # A started aiokafka consumer has a coordinator.
    return all(getattr(layer, "_coordinator", layer) is not None for layer in layers(consumer))


def group_consumer(client: object) -> Any:
    """Return the consumer inside a wrapper that is a member of a group; `None` for a double."""
    return _layer_with("_coordinator", client)


def group_coordinator(consumer: object) -> Any:
    """Return what knows a group's committed offsets; `None` before the start and for most doubles.

    Those of `tracing.testing` have the group itself.
    """
    found = (
        _attribute(layer, "_coordinator") or _attribute(layer, "_group")
        for layer in layers(consumer)
    )
    return next(filter(None, found), None)


def consumed_offsets(consumer: object) -> dict[Any, int] | None:
    """Return the offsets that `commit()` would commit; `None` if that is unknown."""
    for layer in layers(consumer):
        subscription = _attribute(_attribute(layer, "_subscription"), "subscription")
        consumed: Any = _attribute(
            _attribute(subscription, "assignment"), "all_consumed_offsets"
        ) or _attribute(layer, "_consumed")
        if callable(consumed):
            try:
                return {partition: each.offset for partition, each in consumed().items()}
            except Exception:
                # Another version of the client: it commits by itself.
                return None
    return None


def transactional_producer(client: object) -> Any:
    """Return the producer inside a wrapper that has transactions; `None` for a double."""
    return _layer_with("_txn_manager", client)


def _layer_with(part: str, client: object) -> Any:
    return next((layer for layer in layers(client) if hasattr(layer, part)), None)


def reads_uncommitted(consumer: object) -> bool:
    """Return whether a consumer is known to read records of undecided transactions."""
    return getattr(consumer, "_isolation_level", "") == "read_uncommitted"


def resets_to_latest(consumer: object) -> bool:
    """Return whether a consumer is known to go on at the end where its offset is out of range."""
    return _attribute(consumer, "_auto_offset_reset") == "latest"


def position_mark(consumer: object, partition: object) -> object:
    """Return an object that a reset of a partition's position replaces; `None` for a double.

    aiokafka waits for a new position with a new future, and has no public sign of it.
    """
    try:
        assignment = getattr(subscription_state(consumer).subscription, "assignment", None)
        state = None if assignment is None else assignment.state_value(partition)
    except Exception:
        # No longer assigned, or a double without it.
        return None
    return getattr(state, "_position_fut", None)


def subscription_state(consumer: object) -> Any:
    """Return what holds a consumer's subscription with its listener; a double holds it itself."""
    return getattr(consumer, "_subscription", consumer)


def broker_client(consumer: object) -> Any:
    """Return the connections that a consumer fetches by; `None` where it has none."""
    return getattr(consumer, "_client", None)


def fetch_isolation(consumer: object) -> int:
    """Return the isolation level of a consumer's fetches, as the protocol's number."""
    return int(getattr(getattr(consumer, "_fetcher", None), "_isolation_level", 0))


def deserialize(consumer: object, part: Literal["key", "value"], content: bytes | None) -> Any:
    """Decode a key or value as the consumer would; bytes stay where it has no deserializer.

    Raises:
        Exception: What the deserializer raised.
    """
    decode = getattr(getattr(consumer, "_fetcher", None), f"_{part}_deserializer", None)
    return content if decode is None else decode(content)


def _transactional_id(producer: object) -> str | None:
    return _text(
        _attribute(_attribute(producer, "_txn_manager"), "transactional_id")
        or _attribute(producer, "_transactional_id", "transactional_id")
    )


def _attribute(subject: object, *names: str) -> object:
    for name in names:
        try:
            value = getattr(subject, name, None)
        except Exception:  # noqa: S112 - a property of a foreign class may do anything
            continue
        if value is not None:
            return value
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _servers(value: object) -> tuple[tuple[str, int], ...]:
    addresses = [value] if isinstance(value, str) else value
    if not isinstance(addresses, list | tuple):
        return ()
    servers = []
    for address in addresses:
        if not isinstance(address, str):
            continue
        host, colon, port = address.rpartition(":")
        if colon and port.isdigit():
            servers.append((host.strip("[]"), int(port)))
        else:
            servers.append((address, 9092))
    return tuple(servers)
