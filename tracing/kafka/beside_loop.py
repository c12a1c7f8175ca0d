"""A consumer's own methods while a loop reads it.

The loop fetches ahead, so a consumer's own idea of where it is does not fit. What a call means
beside a loop, these classes do; all else is the client's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from tracing.kafka.coexistence import beneath
from tracing.kafka.settlement import BEGINNING, END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka.structs import TopicPartition

    from tracing.kafka.protocols import KafkaConsumer
    from tracing.kafka.settlement import OffsetSettlement
    from tracing.messaging.reading import EndingLoop, RunningLoop


class _Beside:
    """What both kinds of loop do with a consumer's methods.

    Args:
        client: The consumer itself.
        loop: The loop that reads it.
    """

    _loop: RunningLoop | EndingLoop

    def __init__(self, client: KafkaConsumer, loop: RunningLoop | EndingLoop) -> None:
        self._client: Any = client
        self._loop = loop

    def _unhandled(self, tp: TopicPartition) -> int | None:
        """Return the first offset that does not count as done; `None` where that is unknown."""
        raise NotImplementedError

    def _refuse_read(self, what: str) -> NoReturn:
        raise NotImplementedError

    async def position(self, partition: TopicPartition) -> int:
        """Return the first offset that is not handled; of transactions, not committed."""
        if partition in self._client.assignment():
            first = self._unhandled(partition)
            if first is not None:
                return first
        position: int = await self._client.position(partition)
        return position

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetch nothing and begin nothing of these partitions; the record under way goes on."""
        self._client.pause(*partitions)
        self._loop.hold(partitions)

    def paused(self) -> set[TopicPartition]:
        """Return what the application has paused; not what waits for slow handlers."""
        return self._loop.held()

    def resume(self, *partitions: TopicPartition) -> None:
        """Go on with partitions that the application has paused."""
        self._client.resume(*partitions)
        self._loop.release(partitions)

    async def stop(self) -> None:
        """End the loop, then close; called from a handler, return before that."""
        await self._loop.close()

    async def getone(self, *_partitions: Any) -> NoReturn:
        """Refuse: the records are the loop's."""
        self._refuse_read("getone()")

    async def getmany(self, *_partitions: Any, **_options: Any) -> NoReturn:
        """Refuse: the records are the loop's."""
        self._refuse_read("getmany()")

    def __aiter__(self) -> NoReturn:
        """Refuse: the records are the loop's."""
        self._refuse_read("`async for`")

    async def __anext__(self) -> NoReturn:
        """Refuse: the records are the loop's."""
        self._refuse_read("`async for`")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class BesideLoop(_Beside):
    """What an application's calls reach while `consume` reads the consumer.

    Args:
        client: The consumer itself.
        group: Its consumer group.
        loop: The loop that reads it.
        settlement: How the loop settles its records.
        forget: Forgets where polls of a partition are.
    """

    _loop: RunningLoop

    def __init__(
        self,
        client: KafkaConsumer,
        group: str | None,
        loop: RunningLoop,
        settlement: OffsetSettlement,
        forget: Callable[[Iterable[TopicPartition]], None],
    ) -> None:
        super().__init__(client, loop)
        self._group = group
        self._settlement = settlement
        self._forget = forget

    async def commit(self, *args: Any, **options: Any) -> Any:
        """Commit these offsets, or what was handled: the record under way does not count."""
        commit = beneath(self._client.commit, self._client)
        offsets = args[0] if args else options.get("offsets")
        # Without a group, the error is the client's.
        if offsets is None and self._group is not None:
            return await self._loop.settle_by(partial(self._settlement.settle, commit=commit))
        return await commit(*args, **options)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on there, after the record under way; what was fetched is forgotten."""
        self._client.seek(partition, offset)
        self._go_on(partition, offset)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> Any:
        """Go on at the first record, as `seek`."""
        for tp in self._meant(partitions):
            self._go_on(tp, BEGINNING)
        return await self._client.seek_to_beginning(*partitions)

    async def seek_to_end(self, *partitions: TopicPartition) -> Any:
        """Go on at the next new record, as `seek`."""
        for tp in self._meant(partitions):
            self._go_on(tp, END)
        return await self._client.seek_to_end(*partitions)

    async def seek_to_committed(self, *partitions: TopicPartition) -> Any:
        """Go on at the committed offsets, as `seek`."""
        chosen = self._meant(partitions)
        if not chosen:
            return await self._client.seek_to_committed(*partitions)
        offsets = {tp: await self._client.committed(tp) for tp in chosen}
        for tp, offset in offsets.items():
            if offset is not None:
                self.seek(tp, offset)
        return offsets

    def subscribe(self, *args: Any, **options: Any) -> None:
        """Subscribe once what is under way is finished and committed."""
        self._loop.change_subscription(lambda: self._client.subscribe(*args, **options))

    def assign(self, *args: Any, **options: Any) -> None:
        """Assign once what is under way is finished and committed."""
        self._loop.change_subscription(lambda: self._client.assign(*args, **options))

    def unsubscribe(self) -> None:
        """End the loop, and unsubscribe once what is under way is finished and committed."""
        self._loop.change_subscription(self._client.unsubscribe)

    def _unhandled(self, tp: TopicPartition) -> int | None:
        loop = self._loop
        return self._settlement.position(tp, loop.under_way(tp), loop.waiting(tp))

    def _go_on(self, tp: TopicPartition, offset: int) -> None:
        under_way = self._loop.under_way(tp) is not None
        self._loop.drop(tp)
        self._settlement.sought(tp, offset, under_way=under_way)
        self._forget((tp,))

    def _meant(self, partitions: tuple[TopicPartition, ...]) -> list[TopicPartition]:
        """Return the partitions that a call means; none where the client refuses the call."""
        assigned: set[TopicPartition] = self._client.assignment()
        return list(partitions or assigned) if assigned.issuperset(partitions) else []

    def _refuse_read(self, what: str) -> NoReturn:
        raise RuntimeError(
            f"{what} while consume() reads this consumer: it would take records away from the "
            "handler. Handle them there, or end the loop first (set its `stop` event)"
        )


class BesideTransactions(_Beside):
    """What an application's calls reach while `consume(transactional=...)` reads the consumer.

    What would commit or move offsets beside the transactions is refused, and what ends the
    consumer ends the loop before; the rest is the client's.

    Args:
        client: The consumer itself.
        loop: The loop that reads it.
    """

    _loop: EndingLoop

    async def commit(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: an offset is committed with the effects of its record."""
        _refuse("commit()", "commits offsets together with what handlers send")

    def seek(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: the loop goes on where the last transaction ended."""
        _refuse_move("seek()")

    async def seek_to_beginning(self, *_partitions: Any) -> NoReturn:
        """Refuse, as `seek`."""
        _refuse_move("seek_to_beginning()")

    async def seek_to_end(self, *_partitions: Any) -> NoReturn:
        """Refuse, as `seek`."""
        _refuse_move("seek_to_end()")

    async def seek_to_committed(self, *_partitions: Any) -> NoReturn:
        """Refuse, as `seek`."""
        _refuse_move("seek_to_committed()")

    def assign(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: without membership in a group, nothing fences the consumer."""
        _refuse("assign()", "needs partitions that the group assigned")

    def unsubscribe(self) -> None:
        """End the loop, and unsubscribe once what is under way is committed."""
        self._loop.end(self._client.unsubscribe)

    def _unhandled(self, tp: TopicPartition) -> int | None:
        return self._loop.position_of(tp)

    def _refuse_read(self, what: str) -> NoReturn:
        _refuse(what, "reads its records")


def _refuse_move(what: str) -> NoReturn:
    _refuse(what, "goes on where its last transaction ended")


def _refuse(what: str, why: str) -> NoReturn:
    raise RuntimeError(
        f"{what} of a consumer while consume(transactional=...) {why}: end the loop first (set its "
        "`stop` event)"
    )
