"""Observers of rebalances beside the application's own listener."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tracing.core.log import warn_once
from tracing.kafka.client import subscription_state

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aiokafka.abc import ConsumerRebalanceListener
    from aiokafka.structs import TopicPartition

    from tracing.kafka.protocols import KafkaConsumer
    from tracing.messaging.reading import LaneObserver


# The relays whose application listener is calling the current code.
_calling: ContextVar[tuple[object, ...]] = ContextVar("pipeline-tracing-listeners", default=())


class RebalanceRelay:
    """Passes a consumer's rebalances on to observers and to the application's listener."""

    def __init__(self, forget: Callable[[Sequence[TopicPartition]], None]) -> None:
        self._forget = forget
        self._observers: list[LaneObserver] = []

    def add(self, observer: LaneObserver) -> None:
        """Call an observer at rebalances from now on."""
        self._observers.append(observer)

    def remove(self, observer: LaneObserver) -> None:
        """Stop calling an observer."""
        self._observers.remove(observer)

    def waits_for_caller(self) -> bool:
        """Return whether the application's listener is calling, so that the rebalance waits."""
        return any(relay is self for relay in _calling.get())

    def listener(self, application: Any) -> ConsumerRebalanceListener | None:
        """Make a listener that calls the observers and the application's own listener."""
        try:
            from aiokafka.abc import (  # noqa: PLC0415 - wrapping needs no aiokafka, this does
                ConsumerRebalanceListener as Listener,
            )
        except ImportError:
            return application  # type: ignore[no-any-return]  # the caller's own
        if application is not None and not isinstance(application, Listener):
            return application  # type: ignore[no-any-return]  # for aiokafka to refuse
        relay = self

        class _Relay(Listener):
            async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
                try:
                    for observer in tuple(relay._observers):
                        await observer.revoked(revoked)
                finally:
                    relay._forget(tuple(revoked))
                    if application is not None:
                        await relay._call(application.on_partitions_revoked, revoked)

            async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
                for observer in tuple(relay._observers):
                    observer.arriving(assigned)
                try:
                    if application is not None:
                        await relay._call(application.on_partitions_assigned, assigned)
                finally:
                    for observer in tuple(relay._observers):
                        await observer.assigned(assigned)

        listener: ConsumerRebalanceListener = _Relay()
        return listener

    def attach(self, consumer: KafkaConsumer) -> None:
        """Observe the rebalances of a subscription that was made before the wrapping.

        aiokafka can replace a subscription but not add a listener, so this subscribes again to the
        same topics, which costs nothing before the start. It keeps the present listener, and does
        nothing where it cannot read that.
        """
        try:
            state: Any = subscription_state(consumer)
            present = state.listener
            if getattr(type(present), "__module__", "") == __name__:
                return
            pattern = getattr(state, "subscribed_pattern", None)
            if pattern is not None:
                consumer.subscribe(pattern=pattern.pattern, listener=self.listener(present))
                return
            topics = sorted(consumer.subscription())
            # Without topics, or with partitions assigned by hand, there are no rebalances.
            if topics and not consumer.assignment():
                consumer.subscribe(topics=topics, listener=self.listener(present))
        except Exception as fault:
            warn_once(
                "cannot hear of this consumer's rebalances; subscribe by the wrapped consumer's "
                "subscribe() to have records in flight finished before partitions move",
                error=fault,
            )

    async def _call(self, listen: Callable[[Any], Any], partitions: object) -> None:
        token = _calling.set((*_calling.get(), self))
        try:
            result = listen(partitions)
            if inspect.isawaitable(result):
                await result
        finally:
            _calling.reset(token)
