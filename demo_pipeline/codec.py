"""Events as Kafka records: JSON values, CloudEvents headers, the type in `ce_type`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

import tracing
from demo_pipeline.events import Event

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord

# Readers skip fields that they do not know, so writers may add some.
_DECODERS: Final[dict[str, msgspec.json.Decoder[Event]]] = {
    event.__name__: msgspec.json.Decoder(event) for event in get_args(Event)
}
_IDENTITIES: Final = uuid.UUID("5e3dbb1c-0f0e-4c27-9e9f-6d4f3d1f5a77")


def encode(event: Event) -> bytes:
    """Write an event as JSON."""
    return msgspec.json.encode(event)


def headers_of(event: Event) -> list[tuple[str, bytes | None]]:
    """The CloudEvents headers of an event.

    The id follows from what happened, so an event that is sent again is the same event.
    """
    name = type(event).__name__
    order_id = event.order.order_id
    return tracing.cloudevent(
        type=name,
        id=str(uuid.uuid5(_IDENTITIES, f"{name}/{order_id}")),
        subject=order_id,
        content_type="application/json",
    )


def decode(record: ConsumerRecord[Any, Any]) -> Event | None:
    """Read the event of a record; `None` for a type that is not ours, or none at all.

    Raises:
        msgspec.DecodeError: The record says that it is one of our events, and is not.
    """
    envelope = tracing.CloudEvent.from_headers(record.headers)
    decoder = None if envelope is None else _DECODERS.get(envelope.type)
    if decoder is None:
        return None
    if record.value is None:
        raise msgspec.DecodeError(f"{record.topic}[{record.partition}] carries an empty event")
    return decoder.decode(record.value)


def worth_retrying(error: Exception) -> bool:
    """Whether a record that failed may be tried again: not where it is no event that we know."""
    return not isinstance(error, msgspec.DecodeError)
