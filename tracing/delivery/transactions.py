"""The transactions of one consume loop: who may send in them, and how they end."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Protocol

from tracing.kafka.coexistence import beneath

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.kafka.group_offsets import Membership
    from tracing.kafka.producer import TracedProducer
    from tracing.kafka.protocols import KafkaProducer

Decision = Literal["committed", "taken back"]
COMMITTED: Final = "committed"
TAKEN_BACK: Final = "taken back"

# The producers that loops own, by identity.
_owned: set[int] = set()
_current: ContextVar[Transaction | None] = ContextVar("pipeline-transaction", default=None)


class GroupOffsets(Protocol):
    """Committed offsets of the consumer's group, and how they join a transaction."""

    def membership(self) -> Membership | None:
        """What the consumer is in its group now; `None` between two rebalances."""

    async def stable_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int | None] | None:
        """Read committed offsets; `None` while a transaction on one of them is undecided."""

    async def add_offsets(
        self, offsets: Mapping[TopicPartition, int], membership: Membership
    ) -> None:
        """Add offsets to the open transaction, as this member."""

    def check(self) -> None:
        """Raise what made the producer useless for good, if anything did."""

    def renew(self) -> None:
        """Make the producer usable again after the broker refused a batch of it."""


class SendFailedError(Exception):
    """A send of the transaction failed, so the transaction must not commit."""


class Transaction:
    """One transaction: open to records first, then decided.

    Attributes:
        membership: Who the consumer was when it began.
        alone: Whether it is for a single record.
        open: Whether further records may join.
        decided: `COMMITTED`, `TAKEN_BACK`, or the error that a single record's attempt ends with.
        refused: Whether a send failed, which leaves the producer in need of renewal.
    """

    def __init__(self, membership: Membership, *, alone: bool) -> None:
        self.membership = membership
        self.alone = alone
        self.open = True
        self.refused = False
        loop = asyncio.get_running_loop()
        self.decided: asyncio.Future[Decision | Exception] = loop.create_future()
        self._sends: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None

    def enter(self) -> None:
        """Let what the running task sends from now on be part of this transaction."""
        _current.set(self)

    @property
    def entered(self) -> bool:
        """Whether the running task is part of this transaction."""
        return _current.get() is self

    def sent(self, future: asyncio.Future[Any]) -> None:
        """Watch a send until it is acknowledged."""
        self._sends.add(future)
        future.add_done_callback(self._acknowledged)

    async def settle(self) -> None:
        """Wait until every send is acknowledged.

        Raises:
            SendFailedError: One failed, or the wait for it was cancelled.
        """
        while self._sends:
            await asyncio.wait(tuple(self._sends))
        if self._failure is not None:
            raise SendFailedError(
                f"a send of the transaction failed: {type(self._failure).__name__}"
            ) from self._failure

    def decide(self, outcome: Decision | Exception) -> None:
        """Let the records know what became of it."""
        self.open = False
        if not self.decided.done():
            self.decided.set_result(outcome)

    def _acknowledged(self, future: asyncio.Future[Any]) -> None:
        self._sends.discard(future)
        failure = asyncio.CancelledError() if future.cancelled() else future.exception()
        if failure is not None:
            self.refused = True
            self._failure = self._failure or failure


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
def owned(producer: TracedProducer) -> Generator[KafkaProducer]:
    """Own a producer's transactions in a block; gives the producer to run them with.

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
    transaction = _current.get()
    if transaction is None or transaction.decided.done():
        raise RuntimeError(
            "consume() owns the transactions of this producer: send with it inside a handler and "
            "await the send there; elsewhere, use another producer"
        )
    return transaction


def _refuse() -> NoReturn:
    raise RuntimeError(
        "consume() begins and ends the transactions of this producer, and adds the offsets"
    )
