"""A consumer's own methods while a loop reads it.

The loop fetches ahead, so the client's own position is not that of the handlers. These classes
implement the calls that a loop changes; all others go to the client.
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
    """The calls that both kinds of loop change.

    Args:
        client: The consumer itself.
        loop: The loop that reads it.
    """

    _loop: RunningLoop | EndingLoop

    def __init__(self, client: KafkaConsumer, loop: RunningLoop | EndingLoop) -> None:
        self._client: Any = client
        self._loop = loop

    def _unhandled(self, tp: TopicPartition) -> int | None:
        """Return the first offset that does not count as handled; `None` if unknown."""
        raise NotImplementedError

    def _refuse_read(self, what: str) -> NoReturn:
        raise NotImplementedError

    async def position(self, partition: TopicPartition) -> int:
        """Return the first offset that is not handled, or with transactions not committed."""
        if partition in self._client.assignment():
            first = self._unhandled(partition)
            if first is not None:
                return first
        position: int = await self._client.position(partition)
        return position

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetch and begin no record of these partitions; the record in progress continues."""
        self._client.pause(*partitions)
        self._loop.hold(partitions)

    def paused(self) -> set[TopicPartition]:
        """Return the partitions that the application paused, without those the loop paused."""
        return self._loop.held()

    def resume(self, *partitions: TopicPartition) -> None:
        """Continue with partitions that the application has paused."""
        self._client.resume(*partitions)
        self._loop.release(partitions)

    async def stop(self) -> None:
        """End the loop, then close; return before that if called from a handler."""
        await self._loop.close()

    async def getone(self, *_partitions: Any) -> NoReturn:
        """Refuse: only the loop reads the records."""
        self._refuse_read("getone()")

    async def getmany(self, *_partitions: Any, **_options: Any) -> NoReturn:
        """Refuse: only the loop reads the records."""
        self._refuse_read("getmany()")

    def __aiter__(self) -> NoReturn:
        """Refuse: only the loop reads the records."""
        self._refuse_read("`async for`")

    async def __anext__(self) -> NoReturn:
        """Refuse: only the loop reads the records."""
        self._refuse_read("`async for`")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class BesideLoop(_Beside):
    """Takes an application's calls while `consume` reads the consumer.

    Args:
        client: The consumer itself.
        group: Its consumer group.
        loop: The loop that reads it.
        settlement: How the loop settles its records.
        forget: Forgets the position of the polls in partitions.
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
        """Commit these offsets, or what was handled, without the record in progress."""
        commit = beneath(self._client.commit, self._client)
        offsets = args[0] if args else options.get("offsets")
        # Without a group, the client raises the error.
        if offsets is None and self._group is not None:
            return await self._loop.settle_by(partial(self._settlement.settle, commit=commit))
        return await commit(*args, **options)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue there after the record in progress; forget what was fetched."""
        self._client.seek(partition, offset)
        self._continue_at(partition, offset)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> Any:
        """Continue at the first record, as `seek` does."""
        for tp in self._chosen(partitions):
            self._continue_at(tp, BEGINNING)
        return await self._client.seek_to_beginning(*partitions)

    async def seek_to_end(self, *partitions: TopicPartition) -> Any:
        """Continue at the next new record, as `seek` does."""
        for tp in self._chosen(partitions):
            self._continue_at(tp, END)
        return await self._client.seek_to_end(*partitions)

    async def seek_to_committed(self, *partitions: TopicPartition) -> Any:
        """Continue at the committed offsets, as `seek` does."""
        chosen = self._chosen(partitions)
        if not chosen:
            return await self._client.seek_to_committed(*partitions)
        offsets = {tp: await self._client.committed(tp) for tp in chosen}
        for tp, offset in offsets.items():
            if offset is not None:
                self.seek(tp, offset)
        return offsets

    def subscribe(self, *args: Any, **options: Any) -> None:
        """Subscribe once the records in progress are finished and committed."""
        self._loop.change_subscription(lambda: self._client.subscribe(*args, **options))

    def assign(self, *args: Any, **options: Any) -> None:
        """Assign once the records in progress are finished and committed."""
        self._loop.change_subscription(lambda: self._client.assign(*args, **options))

    def unsubscribe(self) -> None:
        """End the loop; unsubscribe once the records in progress are finished and committed."""
        self._loop.change_subscription(self._client.unsubscribe)

    def _unhandled(self, tp: TopicPartition) -> int | None:
        loop = self._loop
        return self._settlement.position(tp, loop.in_progress(tp), loop.waiting(tp))

    def _continue_at(self, tp: TopicPartition, offset: int) -> None:
        in_progress = self._loop.in_progress(tp) is not None
        self._loop.drop(tp)
        self._settlement.sought(tp, offset, in_progress=in_progress)
        self._forget((tp,))

    def _chosen(self, partitions: tuple[TopicPartition, ...]) -> list[TopicPartition]:
        """Return the partitions that a call refers to; none if the client refuses the call."""
        assigned: set[TopicPartition] = self._client.assignment()
        return list(partitions or assigned) if assigned.issuperset(partitions) else []

    def _refuse_read(self, what: str) -> NoReturn:
        raise RuntimeError(
            f"{what} while consume() reads this consumer: it would take records away from the "
            "handler. Handle them there, or end the loop first (set its `stop` event)"
        )


class BesideTransactions(_Beside):
    """Takes an application's calls while `consume(transactional=...)` reads the consumer.

    It refuses calls that would commit or move offsets outside the transactions. Calls that end
    the consumer end the loop first. All others go to the client.

    Args:
        client: The consumer itself.
        loop: The loop that reads it.
    """

    _loop: EndingLoop

    async def commit(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: an offset is committed with the effects of its record."""
        _refuse("commit()", "commits offsets together with what handlers send")

    def seek(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: the loop continues where the last transaction ended."""
        _refuse_move("seek()")

    async def seek_to_beginning(self, *_partitions: Any) -> NoReturn:
        """Refuse, as `seek` does."""
        _refuse_move("seek_to_beginning()")

    async def seek_to_end(self, *_partitions: Any) -> NoReturn:
        """Refuse, as `seek` does."""
        _refuse_move("seek_to_end()")

    async def seek_to_committed(self, *_partitions: Any) -> NoReturn:
        """Refuse, as `seek` does."""
        _refuse_move("seek_to_committed()")

    def assign(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: without membership in a group, nothing fences the consumer."""
        _refuse("assign()", "needs partitions that the group assigned")

    def unsubscribe(self) -> None:
        """End the loop; unsubscribe once the records in progress are committed."""
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
