"""A consumer group's offsets inside a producer's transactions, so that no zombie can commit them.

aiokafka 0.14 commits offsets in a transaction without the member's generation, and reads committed
offsets while a transaction on them is undecided. Either lets a member that has lost its partition
repeat or overtake the new owner. KIP-447 closes both gaps; its two requests are sent here through
aiokafka's own connections. This is the one place that reads the private parts which that needs.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, ProducerFenced, for_code
from aiokafka.producer.sender import AddOffsetsToTxnHandler
from aiokafka.producer.transaction_manager import (
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    PidAndEpoch,
    TransactionState,
)
from aiokafka.structs import TopicPartition

from tracing.kafka.group_offsets import GroupMovedOnError, Membership
from tracing.kafka.transaction_requests import StableOffsetFetch, TxnOffsetCommit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# Error codes of the Kafka protocol.
_RETRIED: Final = frozenset({3, 14, 51})
_COORDINATOR_GONE: Final = frozenset({7, 15, 16})
_MOVED_ON: Final = frozenset({22, 25, 27, 82})
_FENCED: Final = frozenset({47, 90})
_UNSTABLE: Final = 88

_SENDER_PARTS: Final = ("client", "_find_coordinator", "_coordinator_dead", "_retry_backoff")
_TRANSACTION_PARTS: Final = (
    "transactional_id", "producer_id", "producer_epoch", "is_in_transaction", "has_pid",
    "is_fatal_error", "wait_for_transaction_end", "notify_task_waiter", "state",
    "_sequence_numbers", "_pid_and_epoch", "_pid_waiter",
)  # fmt: skip
_SUBSCRIPTION_PARTS: Final = ("partitions_auto_assigned",)
_COORDINATOR_PARTS: Final = ("group_id", "generation", "member_id", "_group_instance_id")


class GroupTransactions:
    """Joins the offsets of one consumer's group to the transactions of one producer.

    Args:
        consumer: An aiokafka consumer, started, with a group.
        producer: An aiokafka producer, started, with a transactional id.

    Raises:
        RuntimeError: A client is not started, has a transaction under way, or the installed
            aiokafka is built otherwise.
        ValueError: The consumer has not subscribed.
    """

    def __init__(self, consumer: Any, producer: Any) -> None:
        self._sender = _part(producer, "_sender", _SENDER_PARTS)
        self._transactions = _part(producer, "_txn_manager", _TRANSACTION_PARTS)
        if getattr(consumer, "_coordinator", None) is None:
            raise RuntimeError("consume() takes a started consumer: call its start() first")
        if not _part(consumer, "_subscription", _SUBSCRIPTION_PARTS).partitions_auto_assigned():
            raise ValueError(
                "consume(transactional=...) takes a consumer that has subscribed: where partitions "
                "are assigned by hand, the group cannot refuse a consumer that has lost its own"
            )
        self._coordinator = _part(consumer, "_coordinator", _COORDINATOR_PARTS)
        if not self._transactions.has_pid():
            raise RuntimeError(
                "consume(transactional=...) takes a started producer: call its start() first"
            )
        self.check()
        if self._transactions.state is not TransactionState.READY:
            raise RuntimeError(
                "this producer has a transaction under way, and consume(transactional=...) begins "
                "its own: end that one first, or make a new producer where a broker did not answer"
            )

    def membership(self) -> Membership | None:
        """What the consumer is in its group now; `None` between two rebalances."""
        found = self._coordinator
        # Without both, the coordinator of the group would take offsets from anybody.
        if found.generation < 0 or not found.member_id:
            return None
        return Membership(
            found.group_id, found.member_id, found.generation, found._group_instance_id
        )

    async def stable_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int | None] | None:
        """Read committed offsets; `None` while a transaction on one of them is undecided.

        The transaction of a member that was killed or stopped is decided at the latest after its
        producer's `transaction_timeout_ms`.

        Raises:
            RuntimeError: The broker is older than Kafka 2.5.
            KafkaError: The cluster refuses.
        """
        group = self._coordinator.group_id
        while True:
            answer = await self._ask(StableOffsetFetch(group, partitions), group)
            if answer is None:
                continue
            found: dict[TopicPartition, int | None] = {}
            codes = {answer.error_code}
            for topic, parts, _ in answer.topics:
                for number, offset, _, _, code, _ in parts:
                    codes.add(code)
                    found[TopicPartition(topic, number)] = offset if offset >= 0 else None
            if _UNSTABLE in codes:
                return None
            if await self._settled(codes):
                return found

    async def add_offsets(
        self, offsets: Mapping[TopicPartition, int], membership: Membership
    ) -> None:
        """Add offsets to the producer's open transaction, as this member.

        Raises:
            GroupMovedOnError: The member is no longer one, or the group has another generation.
            ProducerFenced: Another producer has the transactional id, or the transaction took too
                long.
            RuntimeError: The broker is older than Kafka 2.5.
            KafkaError: The cluster refuses.
        """
        sender, transactions = self._sender, self._transactions
        added = False
        while not added:
            node = await sender._find_coordinator(
                CoordinationType.TRANSACTION, transactions.transactional_id
            )
            added = await AddOffsetsToTxnHandler(sender, membership.group).do(node)
        producer = transactions.producer_id, transactions.producer_epoch
        request = TxnOffsetCommit(transactions.transactional_id, producer, membership, offsets)
        while True:
            answer = await self._ask(request, membership.group)
            if answer is None:
                continue
            codes = {code for _, parts, _ in answer.topics for _, code, _ in parts}
            if codes & _MOVED_ON:
                raise GroupMovedOnError(
                    f"group {membership.group} has moved on from generation {membership.generation}"
                )
            if await self._settled(codes):
                return

    def check(self) -> None:
        """Raise what made the producer useless for good, if anything did.

        Raises:
            ProducerFenced: Another producer has the transactional id, or a transaction took too
                long.
            KafkaError: Something else went wrong for good.
        """
        if self._transactions.is_fatal_error():
            self._transactions.wait_for_transaction_end().result()

    def renew(self) -> None:
        """Let the producer get a new epoch before its next transaction.

        A batch that the broker refused leaves a gap in the sequence numbers of its partition, and
        every batch after it would be refused for that (KIP-360). With the new epoch they begin
        anew. To be called between two transactions.
        """
        transactions = self._transactions
        transactions._sequence_numbers.clear()
        transactions._pid_and_epoch = PidAndEpoch(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)
        transactions._pid_waiter = asyncio.get_running_loop().create_future()
        transactions.state = TransactionState.UNINITIALIZED
        transactions.notify_task_waiter()

    async def _ask(self, request: Any, group: str) -> Any:
        """Ask the group's coordinator; `None` where it has to be asked again."""
        sender = self._sender
        node = await sender._find_coordinator(CoordinationType.GROUP, group)
        try:
            return await sender.client.send(node, request, group=ConnectionGroup.COORDINATION)
        except NotImplementedError as error:
            raise RuntimeError(
                "consume(transactional=...) needs Kafka 2.5 or later (KIP-447); this broker is "
                "older, and on it a member that has lost its partition could still commit"
            ) from error
        except KafkaError as error:
            if not error.retriable:
                raise
            sender._coordinator_dead(CoordinationType.GROUP)
            await asyncio.sleep(sender._retry_backoff)
            return None

    async def _settled(self, codes: Collection[int]) -> bool:
        """Whether all is well; false where it is to be asked again, after a while.

        Raises:
            KafkaError: It is not well, and will not be.
        """
        failed = set(codes) - {0}
        if not failed:
            return True
        if failed & _FENCED:
            raise ProducerFenced
        for code in failed - _RETRIED - _COORDINATOR_GONE:
            raise for_code(code)(f"error code {code}")
        if failed & _COORDINATOR_GONE:
            self._sender._coordinator_dead(CoordinationType.GROUP)
        await asyncio.sleep(self._sender._retry_backoff)
        return False


def _part(client: Any, name: str, parts: Collection[str]) -> Any:
    found = getattr(client, name, None)
    missing = [part for part in parts if not hasattr(found, part)]
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
    return found
