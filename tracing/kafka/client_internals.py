"""Private state of aiokafka: a group member's, and that of a producer's transactions.

aiokafka has no public way to a member's generation, to the coordinators' connections, or to a new
epoch of a producer. They are read and written here; `tracing.kafka.client` reads the rest. A
private part that is missing is an error with its name, as nothing could stand in for it.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.producer.sender import AddOffsetsToTxnHandler
from aiokafka.producer.transaction_manager import (
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    PidAndEpoch,
    TransactionState,
)

from tracing.kafka.client import is_started
from tracing.messaging.transactions import Membership

if TYPE_CHECKING:
    from collections.abc import Collection

_SENDER_PARTS: Final = ("client", "_find_coordinator", "_coordinator_dead", "_retry_backoff")
_TRANSACTION_PARTS: Final = (
    "transactional_id", "producer_id", "producer_epoch", "is_in_transaction", "has_pid",
    "is_fatal_error", "wait_for_transaction_end", "notify_task_waiter", "state",
    "_sequence_numbers", "_pid_and_epoch", "_pid_waiter",
)  # fmt: skip
_SUBSCRIPTION_PARTS: Final = ("partitions_auto_assigned",)
_COORDINATOR_PARTS: Final = ("group_id", "generation", "member_id", "_group_instance_id")


class GroupMember:
    """The member of a group that a consumer is.

    Args:
        consumer: An aiokafka consumer with a group.

    Raises:
        RuntimeError: It is not started, or the installed aiokafka is built otherwise.
    """

    def __init__(self, consumer: Any) -> None:
        if not is_started(consumer):
            raise RuntimeError("consume() takes a started consumer: call its start() first")
        self._subscription = _part(consumer, "_subscription", _SUBSCRIPTION_PARTS)
        self._coordinator = _part(consumer, "_coordinator", _COORDINATOR_PARTS)

    @property
    def subscribed(self) -> bool:
        """Whether the group assigns the partitions."""
        return bool(self._subscription.partitions_auto_assigned())

    @property
    def group(self) -> str:
        """The group."""
        return str(self._coordinator.group_id)

    def membership(self) -> Membership | None:
        """Return the present membership; `None` between two rebalances."""
        member = self._coordinator
        # Without both, the coordinator of the group would take offsets from any client.
        if member.generation < 0 or not member.member_id:
            return None
        return Membership(
            member.group_id, member.member_id, member.generation, member._group_instance_id
        )


class TransactionalProducer:
    """The transactions of a producer, and its connections to coordinators.

    Args:
        producer: An aiokafka producer with a transactional id.

    Raises:
        RuntimeError: The installed aiokafka is built otherwise.
    """

    def __init__(self, producer: Any) -> None:
        self._sender = _part(producer, "_sender", _SENDER_PARTS)
        self._transactions = _part(producer, "_txn_manager", _TRANSACTION_PARTS)

    @property
    def transactional_id(self) -> str:
        """Kafka's `transactional.id`."""
        return str(self._transactions.transactional_id)

    @property
    def identity(self) -> tuple[int, int]:
        """The producer's id and epoch, as the broker gave them."""
        return self._transactions.producer_id, self._transactions.producer_epoch

    @property
    def started(self) -> bool:
        """Whether the broker has given the producer an id."""
        return bool(self._transactions.has_pid())

    @property
    def ready(self) -> bool:
        """Whether a transaction can begin."""
        return self._transactions.state is TransactionState.READY

    def raise_fatal(self) -> None:
        """Raise what made the producer useless for good, if anything did."""
        if self._transactions.is_fatal_error():
            self._transactions.wait_for_transaction_end().result()

    async def add_group(self, group: str) -> bool:
        """Announce the group to the transaction's coordinator; false where to ask again."""
        node = await self._sender._find_coordinator(
            CoordinationType.TRANSACTION, self.transactional_id
        )
        return bool(await AddOffsetsToTxnHandler(self._sender, group).do(node))

    async def coordinator(self, group: str) -> int:
        """Return the node that coordinates a group."""
        return int(await self._sender._find_coordinator(CoordinationType.GROUP, group))

    async def ask_coordinator(self, node: int, request: Any) -> Any:
        """Send a request to a coordinator."""
        return await self._sender.client.send(node, request, group=ConnectionGroup.COORDINATION)

    def forget_coordinator(self) -> None:
        """Look the coordinator of the group up again before the next request."""
        self._sender._coordinator_dead(CoordinationType.GROUP)

    async def back_off(self) -> None:
        """Wait for as long as the producer does before it tries again."""
        await asyncio.sleep(self._sender._retry_backoff)

    def renew(self) -> None:
        """Get a new epoch, and begin the sequence numbers anew, before the next transaction."""
        transactions = self._transactions
        transactions._sequence_numbers.clear()
        transactions._pid_and_epoch = PidAndEpoch(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)
        transactions._pid_waiter = asyncio.get_running_loop().create_future()
        transactions.state = TransactionState.UNINITIALIZED
        transactions.notify_task_waiter()


def _part(client: Any, name: str, needed: Collection[str]) -> Any:
    part = getattr(client, name, None)
    missing = [attribute for attribute in needed if not hasattr(part, attribute)]
    if missing:
        try:
            installed = version("aiokafka")
        except PackageNotFoundError:
            installed = "unknown"
        raise RuntimeError(
            f"consume(transactional=...) is made for aiokafka 0.14; in version {installed}, "
            f"{type(client).__name__} lacks {name}.{missing[0]}: install aiokafka 0.14, or use "
            "consume() without transactional and an inbox"
        )
    return part
