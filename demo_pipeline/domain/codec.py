"""Messages as Kafka records: JSON values, CloudEvents headers, the type in `ce_type`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

import tracing
from demo_pipeline.domain.events import CustomerNotified
from demo_pipeline.domain.topics import TOPIC_OF

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord

    from demo_pipeline.domain.messages import Message

# Decoders ignore unknown fields, so writers may add some.
_DECODERS: Final[dict[str, msgspec.json.Decoder[Message]]] = {
    message.__name__: msgspec.json.Decoder(message) for message in TOPIC_OF
}
_IDENTITIES: Final = uuid.UUID("5e3dbb1c-0f0e-4c27-9e9f-6d4f3d1f5a77")


def encode(message: Message) -> bytes:
    """Encode a message as JSON."""
    return msgspec.json.encode(message)


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Return the CloudEvents headers of a message.

    The id is derived from the message, so a message that is sent again has the same id.
    """
    name = type(message).__name__
    order_id = message.order.order_id
    return tracing.cloudevent(
        type=name,
        id=str(uuid.uuid5(_IDENTITIES, f"{name}/{order_id}{_which(message)}")),
        subject=order_id,
        content_type="application/json",
    )


def decode(record: ConsumerRecord[Any, Any]) -> Message | None:
    """Decode a record; return `None` for an unknown type, or without a type.

    Raises:
        msgspec.DecodeError: The record claims to be one of our messages, and is not.
    """
    envelope = tracing.CloudEvent.from_headers(record.headers)
    decoder = None if envelope is None else _DECODERS.get(envelope.type)
    if decoder is None:
        return None
    if record.value is None:
        raise msgspec.DecodeError(f"{record.topic}[{record.partition}] is an empty message")
    try:
        return decoder.decode(record.value)
    except RecursionError:
        raise msgspec.DecodeError("the message is nested too deeply") from None


def _which(message: Message) -> str:
    """Distinguish messages of one type and order, where there can be several."""
    if isinstance(message, CustomerNotified):
        return f"/{message.about}"
    attempt = getattr(message, "attempt", 1)
    return f"/{attempt}" if attempt > 1 else ""


def worth_retrying(error: Exception) -> bool:
    """Return whether a failed record may be tried again: not if it cannot be decoded."""
    return not isinstance(error, msgspec.DecodeError)
