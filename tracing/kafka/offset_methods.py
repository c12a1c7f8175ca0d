"""The methods of a traced consumer that commit offsets or change where it reads."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tracing.kafka.client import consumed_offsets
from tracing.kafka.coexistence import beneath
from tracing.kafka.consumer_methods import ConsumerMethods
from tracing.kafka.forwarding import argument, like, with_argument
from tracing.kafka.skipped import END

if TYPE_CHECKING:
    from tracing.kafka.skipped import SkippedOffsets
    from tracing.messaging.catch_ups import CatchUps
    from tracing.messaging.settle import Committing

# Position and name of the arguments of `commit` and `seek`.
_OFFSETS: Final = 0, "offsets"
_PARTITION: Final = 0, "partition"
_OFFSET: Final = 1, "offset"


class OffsetMethods(ConsumerMethods):
    """A consumer whose commits are measured, and say where the group is catching up."""

    # Set by the constructor of `TracedConsumer`.
    _consumer: Any
    _target: Any
    _committing: Committing
    _catch_ups: CatchUps
    _skipped: SkippedOffsets

    @like(ConsumerMethods.commit)
    async def commit(self, *args: Any, **kwargs: Any) -> Any:
        """Commit offsets, as `AIOKafkaConsumer.commit`."""
        with self._committing.commit(args[0] if args else kwargs.get("offsets")):
            if self._catch_ups.marks:
                args = self._marked(args, kwargs)
            return await beneath(self._target.commit, self._consumer)(*args, **kwargs)

    def _marked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Add to offsets that a group is catching up, so that its next member knows."""
        offsets = argument(args, kwargs, _OFFSETS)
        if offsets is None and self._target is self._consumer:
            # Beside a loop, that marks what it has handled.
            offsets = consumed_offsets(self._consumer)
        if not offsets or not isinstance(offsets, dict):
            return args
        return with_argument(args, kwargs, _OFFSETS, self._catch_ups.marked(offsets))

    @like(ConsumerMethods.seek)
    def seek(self, *args: Any, **kwargs: Any) -> Any:
        """Set the offset to read from, as `AIOKafkaConsumer.seek`."""
        result = self._target.seek(*args, **kwargs)
        tp, offset = argument(args, kwargs, _PARTITION), argument(args, kwargs, _OFFSET)
        self._catch_ups.sought(tp, offset)
        self._skipped.sought(tp, offset)
        return result

    @like(ConsumerMethods.seek_to_end)
    async def seek_to_end(self, *args: Any, **kwargs: Any) -> Any:
        """Read only new records, as `AIOKafkaConsumer.seek_to_end`."""
        result = await self._target.seek_to_end(*args, **kwargs)
        for tp in self._chosen(args):
            self._skipped.sought(tp, END)
        return result

    @like(ConsumerMethods.seek_to_beginning)
    async def seek_to_beginning(self, *args: Any, **kwargs: Any) -> Any:
        """Read from the oldest record, as `AIOKafkaConsumer.seek_to_beginning`."""
        # Before it, because a loop may have handled the first record when this continues; and
        # after it, because records that were fetched before may have been handled meanwhile.
        self._rewound(args)
        result = await self._target.seek_to_beginning(*args, **kwargs)
        self._rewound(args)
        return result

    def _rewound(self, partitions: tuple[Any, ...]) -> None:
        self._catch_ups.rewound(self._chosen(partitions))

    def _chosen(self, partitions: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the assigned partitions among some, of which none means all."""
        with suppress(Exception):
            assigned = self._consumer.assignment()
            return tuple(assigned.intersection(partitions) if partitions else assigned)
        return ()

    def _started(self) -> None:
        """Let partitions that no rebalance has announced begin now."""
        with suppress(Exception):
            assigned = self._consumer.assignment()
            self._skipped.arriving(assigned)
            self._catch_ups.started(assigned)
