"""A consumer group's offsets inside a producer's transactions, safe from zombie members.

aiokafka 0.14 commits offsets in a transaction without the member's generation, and reads committed
offsets while a transaction on them is undecided. Either lets a member that has lost its partition
repeat or overtake the new owner. KIP-447 closes both gaps. Its two requests are sent here through
aiokafka's own connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError, ProducerFenced, for_code
from aiokafka.structs import TopicPartition

from tracing.kafka.client_internals import GroupMember, TransactionalProducer
from tracing.kafka.transaction_requests import StableOffsetFetch, TxnOffsetCommit
from tracing.messaging.transactions import GroupMovedOnError, no_metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tracing.messaging.transactions import Membership, Metadata

# Error codes of the Kafka protocol.
_RETRIED: Final = frozenset({3, 14, 51})
_COORDINATOR_GONE: Final = frozenset({7, 15, 16})
_MOVED_ON: Final = frozenset({22, 25, 27, 82})
_FENCED: Final = frozenset({47, 90})
_UNSTABLE: Final = 88


class GroupTransactions:
    """Joins the offsets of one consumer's group to the transactions of one producer.

    Args:
        consumer: An aiokafka consumer, started, with a group.
        producer: An aiokafka producer, started, with a transactional id.
        metadata: Returns the metadata of an offset; by default none.

    Raises:
        RuntimeError: A client is not started, has a transaction under way, or the installed
            aiokafka is built otherwise.
        ValueError: The consumer has not subscribed.
    """

    def __init__(self, consumer: Any, producer: Any, metadata: Metadata = no_metadata) -> None:
        self._metadata = metadata
        self._producer = TransactionalProducer(producer)
        self._member = GroupMember(consumer)
        if not self._member.subscribed:
            raise ValueError(
                "consume(transactional=...) takes a consumer that has subscribed: where partitions "
                "are assigned by hand, the group cannot refuse a consumer that has lost its own"
            )
        if not self._producer.started:
            raise RuntimeError(
                "consume(transactional=...) takes a started producer: call its start() first"
            )
        self.check()
        if not self._producer.ready:
            raise RuntimeError(
                "this producer has a transaction under way, and consume(transactional=...) begins "
                "its own: end that one first, or make a new producer where a broker did not answer"
            )

    def membership(self) -> Membership | None:
        """Return the consumer's membership in its group; `None` between two rebalances."""
        return self._member.membership()

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
        group = self._member.group
        while True:
            answer = await self._ask(StableOffsetFetch(group, partitions), group)
            if answer is None:
                continue
            offsets: dict[TopicPartition, int | None] = {}
            codes = {answer.error_code}
            for topic, parts, _ in answer.topics:
                for number, offset, _, _, code, _ in parts:
                    codes.add(code)
                    offsets[TopicPartition(topic, number)] = offset if offset >= 0 else None
            if _UNSTABLE in codes:
                return None
            if await self._settled(codes):
                return offsets

    async def add_offsets(
        self, offsets: Mapping[TopicPartition, int], membership: Membership
    ) -> None:
        """Add offsets to the producer's open transaction, as this member.

        Raises:
            GroupMovedOnError: The member has left the group, or the group has another generation.
            ProducerFenced: Another producer has the transactional id, or the transaction took too
                long.
            RuntimeError: The broker is older than Kafka 2.5.
            KafkaError: The cluster refuses.
        """
        producer = self._producer
        added = False
        while not added:
            added = await producer.add_group(membership.group)
        described = {tp: (offset, self._metadata(tp, offset)) for tp, offset in offsets.items()}
        request = TxnOffsetCommit(
            producer.transactional_id, producer.identity, membership, described
        )
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
            KafkaError: Another error that is final.
        """
        self._producer.raise_fatal()

    def renew(self) -> None:
        """Give the producer a new epoch before its next transaction.

        A batch that the broker refused leaves a gap in the sequence numbers of its partition, and
        the broker refuses every later batch because of it (KIP-360). With a new epoch the numbers
        begin anew. Call it between two transactions.
        """
        self._producer.renew()

    async def _ask(self, request: Any, group: str) -> Any:
        """Ask the group's coordinator; `None` where it has to be asked again."""
        node = await self._producer.coordinator(group)
        try:
            return await self._producer.ask_coordinator(node, request)
        except NotImplementedError as error:
            raise RuntimeError(
                "consume(transactional=...) needs Kafka 2.5 or later (KIP-447); this broker is "
                "older, and on it a member that has lost its partition could still commit"
            ) from error
        except KafkaError as error:
            if not error.retriable:
                raise
            self._producer.forget_coordinator()
            await self._producer.back_off()
            return None

    async def _settled(self, codes: Collection[int]) -> bool:
        """Return whether all is well; false, after a pause, where to ask again.

        Raises:
            KafkaError: The error is final.
        """
        failed = set(codes) - {0}
        if not failed:
            return True
        if failed & _FENCED:
            raise ProducerFenced
        for code in failed - _RETRIED - _COORDINATOR_GONE:
            raise for_code(code)(f"error code {code}")
        if failed & _COORDINATOR_GONE:
            self._producer.forget_coordinator()
        await self._producer.back_off()
        return False
