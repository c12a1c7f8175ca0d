"""Stands in for `aiokafka.abc` where aiokafka is not installed."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ConsumerRebalanceListener(Protocol):
    """Hears of rebalances; either method may be a coroutine function."""

    def on_partitions_revoked(self, revoked: Any) -> Any:
        """Hear which partitions go, before they are gone."""

    def on_partitions_assigned(self, assigned: Any) -> Any:
        """Hear which partitions were given, before records of them arrive."""
