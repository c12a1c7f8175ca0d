"""A consumer's own methods while a loop runs: they count what was handled, not what was fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from tracing.delivery.lane import BEGINNING, END
from tracing.kafka.coexistence import beneath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka.structs import TopicPartition

    from tracing.delivery.commits import Commit
    from tracing.kafka.protocols import KafkaConsumer


class RunningLoop(Protocol):
    """What the consumer's methods need of the loop that reads it."""

    async def commit_handled(self, commit: Commit) -> None:
        """Commit what was handled, by the client's `commit`; raise what it raises."""

    def position_of(self, tp: TopicPartition) -> int | None:
        """Return the first offset that is not handled; `None` where nothing was fetched."""

    def sought(self, tp: TopicPartition, offset: int) -> None:
        """Forget what was fetched of a partition that goes on elsewhere."""

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin no record of these partitions."""

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """Go on with these partitions."""

    def held(self) -> set[TopicPartition]:
        """Return the partitions that the application has paused."""

    def change_subscription(self, change: Callable[[], None]) -> None:
        """Finish and commit what is under way, then make the change."""

    async def close(self) -> None:
        """End the loop, then the consumer."""


class ConsumerBesideLoop:
    """What an application's calls reach while `consume` reads the consumer.

    The loop fetches ahead, so a consumer's own idea of where it stands is wrong for it. What has
    no meaning of its own beside a loop is the client's.

    Args:
        client: The consumer itself.
        group: Its consumer group.
        loop: The loop that reads it.
    """

    def __init__(self, client: KafkaConsumer, group: str | None, loop: RunningLoop) -> None:
        self._client: Any = client
        self._group = group
        self._loop = loop

    async def commit(self, *args: Any, **options: Any) -> Any:
        """Commit these offsets, or what was handled: the record under way does not count."""
        commit = beneath(self._client.commit, self._client)
        offsets = args[0] if args else options.get("offsets")
        # Without a group, the error is the client's.
        if offsets is None and self._group is not None:
            return await self._loop.commit_handled(commit)
        return await commit(*args, **options)

    async def position(self, partition: TopicPartition) -> int:
        """Return the first offset that is not handled: the record under way is not."""
        if partition in self._client.assignment():
            handled = self._loop.position_of(partition)
            if handled is not None:
                return handled
        position: int = await self._client.position(partition)
        return position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on there, after the record under way; what was fetched is forgotten."""
        self._client.seek(partition, offset)
        self._loop.sought(partition, offset)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> Any:
        """Go on at the first record, as `seek`."""
        for tp in self._sought(partitions):
            self._loop.sought(tp, BEGINNING)
        return await self._client.seek_to_beginning(*partitions)

    async def seek_to_end(self, *partitions: TopicPartition) -> Any:
        """Go on at the next new record, as `seek`."""
        for tp in self._sought(partitions):
            self._loop.sought(tp, END)
        return await self._client.seek_to_end(*partitions)

    async def seek_to_committed(self, *partitions: TopicPartition) -> Any:
        """Go on at the committed offsets, as `seek`."""
        chosen = self._sought(partitions)
        if not chosen:
            return await self._client.seek_to_committed(*partitions)
        offsets = {tp: await self._client.committed(tp) for tp in chosen}
        for tp, offset in offsets.items():
            if offset is not None:
                self.seek(tp, offset)
        return offsets

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

    def subscribe(self, *args: Any, **options: Any) -> None:
        """Subscribe once what is under way is finished and committed."""
        self._loop.change_subscription(lambda: self._client.subscribe(*args, **options))

    def assign(self, *args: Any, **options: Any) -> None:
        """Assign once what is under way is finished and committed."""
        self._loop.change_subscription(lambda: self._client.assign(*args, **options))

    def unsubscribe(self) -> None:
        """End the loop, and unsubscribe once what is under way is finished and committed."""
        self._loop.change_subscription(self._client.unsubscribe)

    async def stop(self) -> None:
        """End the loop, then close; called from a handler, return before that."""
        await self._loop.close()

    async def getone(self, *_partitions: Any) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse("getone()")

    async def getmany(self, *_partitions: Any, **_options: Any) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse("getmany()")

    def __aiter__(self) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse("`async for`")

    async def __anext__(self) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse("`async for`")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _sought(self, partitions: tuple[TopicPartition, ...]) -> list[TopicPartition]:
        """Choose what a call means; nothing where the client refuses the call."""
        assigned: set[TopicPartition] = self._client.assignment()
        return list(partitions or assigned) if assigned.issuperset(partitions) else []


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"{what} while consume() reads this consumer: it would take records away from the "
        "handler. Handle them there, or end the loop first (set its `stop` event)"
    )
