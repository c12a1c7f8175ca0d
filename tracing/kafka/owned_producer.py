"""A transactional producer while a loop owns it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from tracing.kafka.coexistence import beneath
from tracing.messaging.transactions import open_transaction

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

    from tracing.kafka.protocols import KafkaProducer
    from tracing.messaging.transactions import Transaction

# The producers that loops own, by identity.
_owned: set[int] = set()


class OwnedProducer:
    """A transactional producer while a loop owns it: only the loop's handlers send with it.

    A send by anything else would join whatever transaction is open: of a task that outlives its
    handler, or of other code that shares the producer. It is refused.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer

    async def send(self, *arguments: Any, **options: Any) -> asyncio.Future[Any]:
        """Send in the transaction of the handler that calls."""
        transaction = _open()
        future = await beneath(self._producer.send, self._producer)(*arguments, **options)
        transaction.sent(future)
        return future

    async def send_and_wait(self, *arguments: Any, **options: Any) -> Any:
        """Send in the transaction of the handler that calls, and wait for the acknowledgement."""
        return await (await self.send(*arguments, **options))

    async def send_batch(self, *arguments: Any, **options: Any) -> asyncio.Future[Any]:
        """Send a batch in the transaction of the handler that calls."""
        transaction = _open()
        future = await beneath(self._producer.send_batch, self._producer)(*arguments, **options)
        transaction.sent(future)
        return future

    def transaction(self) -> NoReturn:
        """Refuse: the loop begins and ends the transactions."""
        _refuse()

    async def begin_transaction(self) -> None:
        """Refuse: the loop begins and ends the transactions."""
        _refuse()

    async def commit_transaction(self) -> None:
        """Refuse: the loop begins and ends the transactions."""
        _refuse()

    async def abort_transaction(self) -> None:
        """Refuse: the loop begins and ends the transactions."""
        _refuse()

    async def send_offsets_to_transaction(self, *_offsets: Any, **_options: Any) -> None:
        """Refuse: the loop adds the offsets."""
        _refuse()

    def __getattr__(self, name: str) -> Any:
        if name == "_producer":  # before the constructor ran, as when unpickling
            raise AttributeError(name)
        return getattr(self._producer, name)


@contextmanager
def owned(producer: Any) -> Generator[KafkaProducer]:
    """Own a producer's transactions in a block; gives the producer to run them with.

    Args:
        producer: A `TracedProducer`.

    Raises:
        RuntimeError: Another loop owns it.
    """
    inner = producer.wrapped
    # A producer may be wrapped more than once.
    if isinstance(inner, OwnedProducer) or id(inner) in _owned:
        raise RuntimeError(
            "another consume() runs with this transactional producer, which has one transaction "
            "at a time: give each loop a producer with a transactional_id of its own"
        )
    _owned.add(id(inner))
    producer._producer = OwnedProducer(inner)  # noqa: SLF001 - a drop-in has no name for this
    try:
        yield inner
    finally:
        _owned.discard(id(inner))
        producer._producer = inner  # noqa: SLF001 - as above


def _open() -> Transaction:
    transaction = open_transaction()
    if transaction is None:
        raise RuntimeError(
            "consume() owns the transactions of this producer: send with it inside a handler and "
            "await the send there; elsewhere, use another producer"
        )
    return transaction


def _refuse() -> NoReturn:
    raise RuntimeError(
        "consume() begins and ends the transactions of this producer, and adds the offsets"
    )
