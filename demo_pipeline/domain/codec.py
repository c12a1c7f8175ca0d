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

# Readers skip fields that they do not know, so writers may add some.
_DECODERS: Final[dict[str, msgspec.json.Decoder[Message]]] = {
    message.__name__: msgspec.json.Decoder(message) for message in TOPIC_OF
}
_IDENTITIES: Final = uuid.UUID("5e3dbb1c-0f0e-4c27-9e9f-6d4f3d1f5a77")


def encode(message: Message) -> bytes:
    """Write a message as JSON."""
    return msgspec.json.encode(message)


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """The CloudEvents headers of a message.

    The id follows from what it says, so a message that is sent again is the same message.
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
    """Read the message of a record; `None` for a type that is not ours, or none at all.

    Raises:
        msgspec.DecodeError: The record says that it is one of our messages, and is not.
    """
    envelope = tracing.CloudEvent.from_headers(record.headers)
    decoder = None if envelope is None else _DECODERS.get(envelope.type)
    if decoder is None:
        return None
    if record.value is None:
        raise msgspec.DecodeError(f"{record.topic}[{record.partition}] carries an empty message")
    try:
        return decoder.decode(record.value)
    except RecursionError:
        raise msgspec.DecodeError("the message is nested too deeply") from None


def _which(message: Message) -> str:
    """Tell messages of one type and order apart, where there can be several."""
    if isinstance(message, CustomerNotified):
        return f"/{message.about}"
    attempt = getattr(message, "attempt", 1)
    return f"/{attempt}" if attempt > 1 else ""


def worth_retrying(error: Exception) -> bool:
    """Whether a record that failed may be tried again: not where it is no message that we know."""
    return not isinstance(error, msgspec.DecodeError)
