"""What a consumer's group has committed, with the metadata of its offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.kafka.client import group_coordinator
from tracing.messaging.catch_up import NOTHING_COMMITTED, Committed, until_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


async def read_committed(
    consumer: Any, partitions: Collection[tuple[str, int]]
) -> Mapping[tuple[str, int], Committed]:
    """Read committed offsets, with one request for all partitions where the client allows it.

    Args:
        consumer: An aiokafka consumer, started, or a double.
        partitions: The partitions. Those that are not known are left out of the result.

    Raises:
        Exception: What the client raised.
    """
    coordinator = group_coordinator(consumer)
    if coordinator is None:
        # A double, or another client: its public method knows no metadata, and one partition.
        return {
            place: Committed(await consumer.committed(_own(consumer, place)))
            for place in partitions
        }
    fetch = getattr(coordinator, "fetch_committed_offsets", None)
    if fetch is None:
        # The stand-in for a coordinator that aiokafka has for a consumer without a group.
        return dict.fromkeys(partitions, NOTHING_COMMITTED)
    offsets = await fetch([_own(consumer, place) for place in partitions])
    return {
        place: NOTHING_COMMITTED
        if (found := offsets.get(place)) is None or found.offset < 0
        else Committed(found.offset, until_of(found.metadata))
        for place in partitions
    }


def takes_metadata(consumer: object) -> bool:
    """Return whether offsets with metadata reach aiokafka as they are.

    A subclass with a `commit` of its own may expect plain offsets: nothing is added to those.
    """
    module = getattr(getattr(type(consumer), "commit", None), "__module__", None)
    return isinstance(module, str) and module.startswith(("aiokafka.", "tracing."))


def end_of(consumer: Any, partition: tuple[str, int]) -> int | None:
    """Return the end of a partition's log as of the last fetch; `None` if it is unknown."""
    try:
        end = consumer.highwater(_own(consumer, partition))
    except Exception:
        # Not assigned any longer, or a double without it.
        return None
    return end if isinstance(end, int) else None


def is_assigned(consumer: Any, partition: tuple[str, int]) -> bool:
    """Return whether a consumer reads a partition; false if that is unknown."""
    try:
        return partition in consumer.assignment()
    except Exception:
        # A double without it.
        return False


def _own(consumer: Any, partition: tuple[str, int]) -> Any:
    """Return a partition as the client's own object; a pair that equals it is none to all calls."""
    return next((tp for tp in consumer.assignment() if tp == partition), partition)
