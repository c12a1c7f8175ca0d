"""The next record of a consumer's iterator, beneath instrumentation that would repeat ours."""

from __future__ import annotations

from operator import attrgetter
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog
from tracing.kafka.coexistence import TracedCall, beneath, traced_call, without_official

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka.structs import ConsumerRecord

_logger = EventLog("tracing")
_fields: Final = attrgetter("topic", "headers", "partition", "offset", "timestamp", "value")
_AIOKAFKA: Final = "aiokafka."
# The names in the `__anext__` of the versions that we know.
_GETS_ONE: Final = {
    "getone", "ConsumerStoppedError", "StopAsyncIteration", "RecordTooLargeError", "log",
    "exception",
}  # fmt: skip


def topic_of(record: Any) -> str | None:
    """Return a record's topic; `None` of anything that is no record. Never raises."""
    try:
        topic = _fields(record)[0]
    except Exception:
        # An iterator may yield anything, also objects that raise when they are looked at.
        return None
    return topic if isinstance(topic, str) else None


async def next_beneath(iterator: Any, client: object) -> tuple[Any, Any]:
    """Get an iterator's next item beneath instrumentation that would repeat ours.

    Args:
        iterator: What the client gave to iterate by, as a rule itself.
        client: The client.

    Returns:
        The item, and the record that is to be handled: the item itself, unless it is no record,
        but a record was seen to be received for it.
    """
    getone: Any = getattr(iterator, "getone", None)
    own = without_official(getone)
    if own is not getone and _is_aiokafkas(iterator):
        # aiokafka's iterator would call the getone that the official instrumentation put in.
        item = await next_as_aiokafka(beneath(own, client))
        return item, item
    with TracedCall(client) as call:
        item = await iterator.__anext__()
    received = call.received
    return item, item if received is None or topic_of(item) is not None else received


def received(client: object, record: object) -> bool:
    """Report what a consumer's own `getone` returned; whether a traced call is under way."""
    call = traced_call(client)
    if call is None:
        return False
    call.received = record
    return True


async def next_as_aiokafka(
    getone: Callable[[], Awaitable[ConsumerRecord[Any, Any]]],
) -> ConsumerRecord[Any, Any]:
    """Get the next record by `getone`, with the errors that `AIOKafkaConsumer.__anext__` has."""
    while True:
        try:
            return await getone()
        except Exception as error:
            if not is_skipped(error):
                raise


def is_skipped(error: Exception) -> bool:
    """Return whether `AIOKafkaConsumer.__anext__` goes on after an error of `getone`.

    Raises:
        StopAsyncIteration: It ends.
    """
    # By name: aiokafka itself is no dependency.
    match type(error).__name__:
        case "ConsumerStoppedError":
            raise StopAsyncIteration from None
        case "RecordTooLargeError":
            # The caller handles it.
            _logger.exception("a record is too large for the consumer and is skipped")  # noqa: LOG004
            return True
        case _:
            return False


def only_gets_one(iterator: object) -> bool:
    """Return whether an iterator is aiokafka's, and does no more than in the versions we know."""
    method = getattr(type(iterator), "__anext__", None)
    # A proxy around the method shows the code of what is inside.
    if type(method) is not FunctionType or not _is_aiokafkas(iterator):
        return False
    return set(method.__code__.co_names) == _GETS_ONE


def _is_aiokafkas(iterator: object) -> bool:
    module = getattr(getattr(type(iterator), "__anext__", None), "__module__", None)
    return isinstance(module, str) and module.startswith(_AIOKAFKA)
