"""A consumer's own methods while its records are handled in transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka.structs import TopicPartition

    from tracing.kafka.protocols import KafkaConsumer


class EndingLoop(Protocol):
    """What the consumer's methods need of the loop that reads it."""

    def position_of(self, tp: TopicPartition) -> int | None:
        """Return the first offset that is not committed; `None` where nothing was fetched."""

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin no record of these partitions."""

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """Go on with these partitions."""

    def held(self) -> set[TopicPartition]:
        """Return the partitions that the application has paused."""

    def end(self, then: Callable[[], None]) -> None:
        """Finish and commit what is under way, and then do this."""

    async def close(self) -> None:
        """End the loop, then the consumer."""


class TransactionalConsumer:
    """What an application's calls reach while `consume(transactional=...)` reads the consumer.

    What would commit or move offsets beside the transactions is refused, and what ends the
    consumer ends the loop before; the rest is the client's.

    Args:
        client: The consumer itself.
        loop: The loop that reads it.
    """

    def __init__(self, client: KafkaConsumer, loop: EndingLoop) -> None:
        self._client: Any = client
        self._loop = loop

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

    async def position(self, partition: TopicPartition) -> int:
        """Return the first offset that no transaction has committed."""
        if partition in self._client.assignment():
            first = self._loop.position_of(partition)
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

    def unsubscribe(self) -> None:
        """End the loop, and unsubscribe once what is under way is committed."""
        self._loop.end(self._client.unsubscribe)

    async def stop(self) -> None:
        """End the loop, then close; called from a handler, return before that."""
        await self._loop.close()

    async def getone(self, *_partitions: Any) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse_read("getone()")

    async def getmany(self, *_partitions: Any, **_options: Any) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse_read("getmany()")

    def __aiter__(self) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse_read("`async for`")

    async def __anext__(self) -> NoReturn:
        """Refuse: the records are the loop's."""
        _refuse_read("`async for`")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _refuse_move(what: str) -> NoReturn:
    _refuse(what, "goes on where its last transaction ended")


def _refuse_read(what: str) -> NoReturn:
    _refuse(what, "reads its records")


def _refuse(what: str, why: str) -> NoReturn:
    raise RuntimeError(
        f"{what} of a consumer while consume(transactional=...) {why}: end the loop first (set its "
        "`stop` event)"
    )
