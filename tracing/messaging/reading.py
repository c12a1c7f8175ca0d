"""What a consume loop needs from a consumer, and the consumer's state while a loop reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from tracing.messaging.transport import Port, private_side

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from tracing.messaging.transactions import GroupOffsets
    from tracing.messaging.transport import Sender

# What handlers receive.
MessageT_co = TypeVar("MessageT_co", covariant=True)


class Settlement(Protocol):
    """How a loop settles messages: one offset per lane in a log, one by one in a queue."""

    def lane(self, lane: Any) -> LaneSettlement:
        """Return the settlement of one lane; called when its first messages arrive."""

    def lanes(self) -> Collection[Any]:
        """Return the lanes that it has; at the end the loop settles these too."""

    def spent(self) -> Collection[Any]:
        """Return lanes with nothing to settle, which may be forgotten once they have no message.

        Empty if lanes are few and have a position, such as partitions. If each key is a lane, the
        loop would otherwise keep them all.
        """

    def pending(self, lanes: Collection[Any]) -> bool:
        """Return whether handled messages of these lanes are not settled yet."""

    async def settle(self, lanes: Collection[Any]) -> None:
        """Settle the handled messages of these lanes.

        Calls do not overlap. One that takes too long is cancelled, and what it has not settled
        stays pending.

        Raises:
            Exception: What the client raised; see `comes_back`.
        """

    async def pass_over(self, idle: Callable[[Any], bool], *, without: Collection[Any]) -> None:
        """Count as handled what a lane holds besides messages, such as transaction markers.

        Args:
            idle: Returns whether a lane has no message that waits or is in progress.
            without: Lanes to leave out.
        """

    def comes_back(self, error: Exception) -> bool:
        """Return whether `settle` failed temporarily or because lanes moved.

        Then the messages are delivered again.

        The loop logs such an error and continues; any other error ends it.
        """

    async def give_back(self, unhandled: Mapping[Any, Sequence[Any]]) -> None:
        """Give back the unhandled messages of each lane, so that they are delivered again.

        It is the last step of a loop, and the last before a change of the subscription. A message
        whose handler was cut off is among them. It does not raise for lanes that have moved.
        """

    def forget(self, lanes: Iterable[Any] | None) -> None:
        """Forget lanes that have moved; with `None`, all lanes.

        Their unhandled messages are not given back: the broker delivers them to the lane's next
        reader by itself.
        """


class LaneSettlement(Protocol):
    """How the messages of one lane are settled."""

    def arrived(self) -> None:
        """Note that messages arrived. Called for each batch, before its first is handled."""

    def handled(self, message: Any) -> None:
        """Count a message as handled: it may be settled. Called for each, in order."""


class ConsumerClosedError(Exception):
    """The consumer was closed while a loop read it."""


class Reading(Protocol[MessageT_co]):
    """A consumer while one loop reads it."""

    @property
    def settlement(self) -> Settlement:
        """How its messages are settled."""

    @property
    def closed(self) -> bool:
        """Whether the consumer was closed without the loop, which looks once a second."""

    @property
    def subscribed(self) -> bool:
        """Whether there is anything to read."""

    def attach(self, loop: Any) -> None:
        """Let the consumer's own methods reach the loop, a `RunningLoop`."""

    def detach(self) -> None:
        """Let the consumer's own methods reach the client again."""

    async def begin(self) -> None:
        """Prepare for the first poll."""

    def lanes_changed(self) -> None:
        """Prepare for the first poll after the assigned lanes changed."""

    async def poll(self, timeout_ms: int) -> Mapping[Any, Sequence[MessageT_co]]:
        """Return messages by `Lane`, in order; none if none arrive in time.

        A poll may be cancelled at the end of a loop: its messages must be delivered again.

        Raises:
            ConsumerClosedError: The consumer was closed.
            Exception: What the client raised.
        """

    def pause(self, lane: Any) -> None:
        """Fetch no more messages of a lane: too many of them wait already."""

    def resume(self, lane: Any) -> None:
        """Fetch a lane again."""

    def paused(self) -> Collection[Any]:
        """Return the lanes that are paused."""

    def forget(self, lanes: Iterable[Any]) -> None:
        """Forget lanes that have moved."""


class TransactionalReading(Reading[MessageT_co], Protocol[MessageT_co]):
    """A consumer while an exactly-once loop reads it; only for logs."""

    def offset(self, message: Any) -> int:
        """Return a message's offset in its lane."""

    def after(self, message: Any) -> int:
        """Return the offset after a message."""

    def lanes(self) -> Collection[Any]:
        """Return the lanes that the consumer reads."""

    async def position(self, lane: Any) -> int:
        """Return the offset of the next message."""

    def seek(self, lane: Any, offset: int) -> None:
        """Continue at an offset."""


class LaneObserver(Protocol):
    """Learns which lanes a consumer gives up and which it is assigned."""

    async def revoked(self, lanes: Any) -> None:
        """Finish these lanes; the rebalance waits for it."""

    def arriving(self, lanes: Any) -> None:
        """Expect messages of these lanes; called before the application's listener."""

    async def assigned(self, lanes: Any) -> None:
        """Start handling these lanes."""


class ConsumerPort(Port, Protocol[MessageT_co]):
    """The private side of a consumer: what a consume loop needs from it."""

    @property
    def client(self) -> object:
        """The consumer itself, which one loop reads at a time; the same object for every port."""

    @property
    def process(self) -> Callable[[Any], Any]:
        """The consumer's `process`: makes the `Processing` of a message, not started.

        See `tracing.messaging.process` and `tracing.messaging.subscription`.
        """

    @property
    def addressed_elsewhere(self) -> Callable[[Any], bool]:
        """The consumer's `addressed_elsewhere`: whether a message is a replay for another group.

        See `tracing.messaging.replay_skips`.
        """

    def check_started(self) -> None:
        """Raise `RuntimeError` if the consumer is not started."""

    def lanes(self) -> Collection[Any]:
        """Return the lanes that the consumer reads."""

    def reading(self) -> Reading[MessageT_co]:
        """Return the `Reading` for one loop."""

    def observe(self, observer: LaneObserver) -> None:
        """Report lanes that move to an observer; do nothing if lanes never move."""

    def ignore(self, observer: LaneObserver) -> None:
        """Stop reporting to an observer."""

    def called_by_listener(self) -> bool:
        """Return whether the application's listener, which a rebalance waits for, calls this."""

    async def close(self) -> None:
        """Close the consumer."""

    def group_offsets(self, producer: Sender) -> GroupOffsets:
        """Return how the group's offsets join the producer's transactions.

        Raises:
            ValueError: The clients do not support that.
            RuntimeError: A client is not started, or is not built as expected.
        """

    def transactional_reading(self) -> TransactionalReading[MessageT_co]:
        """Return the `TransactionalReading` for one exactly-once loop.

        Called only after `group_offsets` has returned.
        """


class RunningLoop(Protocol):
    """What a consumer's own methods need from the loop that reads it."""

    async def settle_by(self, settle: Callable[[Collection[Any]], Awaitable[None]]) -> None:
        """Settle handled messages with this function; raise what it raises."""

    def in_progress(self, lane: Any) -> Any:
        """Return a lane's message in progress; `None` without one."""

    def waiting(self, lane: Any) -> Any:
        """Return a lane's first waiting message; `None` without one."""

    def drop(self, lane: Any) -> None:
        """Forget a lane's waiting messages."""

    def hold(self, lanes: Iterable[Any]) -> None:
        """Begin no message of these lanes."""

    def release(self, lanes: Iterable[Any]) -> None:
        """Continue with these lanes."""

    def held(self) -> set[Any]:
        """Return the lanes that the application has paused."""

    def change_subscription(self, change: Callable[[], None]) -> None:
        """Finish and settle the messages in progress, then make the change."""

    async def close(self) -> None:
        """End the loop, then close the consumer."""


class EndingLoop(Protocol):
    """What a consumer's own methods need from an exactly-once loop."""

    def position_of(self, lane: Any) -> int | None:
        """Return the first offset that is not committed; `None` if nothing was fetched."""

    def hold(self, lanes: Iterable[Any]) -> None:
        """Begin no message of these lanes."""

    def release(self, lanes: Iterable[Any]) -> None:
        """Continue with these lanes."""

    def held(self) -> set[Any]:
        """Return the lanes that the application has paused."""

    def end(self, then: Callable[[], None]) -> None:
        """Finish and commit the messages in progress, then call this function."""

    async def close(self) -> None:
        """End the loop, then close the consumer."""


class Consumer(Protocol[MessageT_co]):
    """A consumer that `consume` reads, such as a `TracedConsumer`."""

    def _pipeline_port(self) -> ConsumerPort[MessageT_co]:
        """Return its private side."""


def consumer_port(consumer: object) -> ConsumerPort[Any] | None:
    """Return the private side of a consumer, or of the one in a proxy; `None` if it has none."""
    return cast("ConsumerPort[Any] | None", private_side(consumer, "_pipeline_port"))
