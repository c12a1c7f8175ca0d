"""Transactions for an exactly-once loop: their values, and the interfaces that run them."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Metadata = Callable[[Any, int], str]
    """Returns the metadata of an offset that is to be committed in a lane."""

Decision = Literal["committed", "rolled back"]
COMMITTED: Final = "committed"
ROLLED_BACK: Final = "rolled back"

_current: ContextVar[Transaction | None] = ContextVar("pipeline-transaction", default=None)


@dataclass(frozen=True, slots=True)
class Membership:
    """A consumer's membership in its group; each rebalance gives it a new one.

    Attributes:
        group: The group.
        member_id: The member.
        generation: How often the group was rebalanced.
        instance_id: The member's static name (KIP-345), if it has one.
    """

    group: str
    member_id: str
    generation: int
    instance_id: str | None = None


def no_metadata(_lane: object, _offset: int) -> str:
    """Return the metadata of an offset that has none."""
    return ""


class GroupMovedOnError(Exception):
    """The group was rebalanced, so this member can no longer commit these offsets."""


class TransactionalProducer(Protocol):
    """Runs transactions, one at a time."""

    async def begin_transaction(self) -> None:
        """Begin one."""

    async def commit_transaction(self) -> None:
        """Commit it."""

    async def abort_transaction(self) -> None:
        """Abort it."""


class GroupOffsets(Protocol):
    """Committed offsets of the consumer's group, and how they join a transaction."""

    def membership(self) -> Membership | None:
        """Return the consumer's current membership; `None` during a rebalance."""

    async def stable_offsets(self, partitions: Collection[Any]) -> dict[Any, int | None] | None:
        """Read committed offsets; `None` while a transaction on one of them is undecided."""

    async def add_offsets(self, offsets: Mapping[Any, int], membership: Membership) -> None:
        """Add offsets to the open transaction, as this member."""

    def check(self) -> None:
        """Raise the error that made the producer unusable, if there is one."""

    def renew(self) -> None:
        """Make the producer usable again after the broker refused one of its batches."""


class SendFailedError(Exception):
    """A send of the transaction failed, so the transaction must not commit."""


class Transaction:
    """One transaction: open to records first, then decided.

    Attributes:
        membership: The consumer's membership when it began.
        alone: Whether it is for a single record.
        open: Whether further records may join.
        decided: `COMMITTED`, `ROLLED_BACK`, or the error of a single record's attempt.
        refused: Whether a send failed, after which the producer must be renewed.
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
        """Make the running task's further sends part of this transaction."""
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
        """Report the outcome to the records."""
        self.open = False
        if not self.decided.done():
            self.decided.set_result(outcome)

    def _acknowledged(self, future: asyncio.Future[Any]) -> None:
        self._sends.discard(future)
        failure = asyncio.CancelledError() if future.cancelled() else future.exception()
        if failure is not None:
            self.refused = True
            self._failure = self._failure or failure


def open_transaction() -> Transaction | None:
    """Return the undecided transaction that the running task is part of; `None` without one."""
    transaction = _current.get()
    return None if transaction is None or transaction.decided.done() else transaction
