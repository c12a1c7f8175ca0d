"""Groups that start on history: old records that are catch-up, and no lag of the flow.

A lane is **catching up** where its group has no committed offset and the first record is older than
the group's start: until the end of the log that the group saw when it started. What is below that
end is history. It is marked on its span and counted for itself, and left out of wait, end-to-end
and retry durations and of the checks of order; what its handler sends begins a new flow, so that
no later hop takes over the age. Processing durations and consumed messages count as usual.

All that is late for other reasons counts in full: records behind a committed offset, records of a
paused consumer, records that arrive while a group catches up. A committed offset that was committed
while catching up says so in its metadata, so that a restart or another member continues.

This is decided once per lane and assignment. A lane that does not catch up has no trace of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracing.messaging.transport import Message, Transport
    from tracing.metrics.instruments import Count

GRACE_MS: Final = 5_000
"""How much older than the start the first record must be.

Producers and groups of one deployment start together, and a new group waits for members (3 s by
default in Kafka): records of that time belong to the flow.
"""
_UNDECIDED_S: Final = 10.0
# After so many further records, none of the history is delivered again: a batch that is tried again
# may hold both.
_MAY_COME_AGAIN: Final = 1_000
_METADATA: Final = "pipeline.catch_up="
_MAX_DIGITS: Final = 19


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group has committed in a lane.

    Attributes:
        offset: The offset; `None` if there is none.
        until: The end of the history on which the group was at work then; `None` if on none.
    """

    offset: int | None
    until: int | None = None


NOTHING_COMMITTED: Final = Committed(None)


def metadata_of(until: int) -> str:
    """Return the metadata of an offset that is committed while catching up.

    Args:
        until: The end of the history.
    """
    return f"{_METADATA}{until}"


def until_of(metadata: object) -> int | None:
    """Read the end of the history from an offset's metadata; `None` if it has none."""
    if not isinstance(metadata, str) or not metadata.startswith(_METADATA):
        return None
    digits = metadata[len(_METADATA) :]
    # int() takes more than ASCII digits.
    if len(digits) > _MAX_DIGITS or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits)


class LaneCatchUp:
    """Decides which records of one lane are history, from its assignment on. For one event loop.

    Args:
        place: The lane.
        started_ms: When the group started on it, unix ms.
        transport: The kind of broker.
        end_of: Returns the end of the lane's log as the client knows it; `None` if it does not.
        count: Counts the records that are history.
        begun: Called when the first record has shown that the lane is catching up.
        reached: Called when the last record that is history is there, and perhaps again.
        ended: Called when no record is history any longer.
        failed: Called with an error of this class.

    Attributes:
        place: The lane.
        end: The end of the history; `None` before the first record.
        handled: Number of records that were history.
        next: The offset after the last record that was history.
        taken: Whether the last record was history.
    """

    __slots__ = (
        "_begun", "_committed", "_count", "_deadline", "_end_of", "_ended", "_failed",
        "_reached", "_started_ms", "_transport", "end", "handled", "next", "place", "taken",
    )  # fmt: skip

    def __init__(
        self,
        place: Any,
        started_ms: int,
        *,
        transport: Transport,
        end_of: Callable[[Any], int | None],
        count: Count,
        begun: Callable[[LaneCatchUp], None],
        reached: Callable[[LaneCatchUp], None],
        ended: Callable[[LaneCatchUp], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.place = place
        self.end: int | None = None
        self.handled = 0
        self.next = 0
        self.taken = False
        self._count = count
        self._started_ms = started_ms
        self._transport = transport
        self._end_of = end_of
        self._begun = begun
        self._reached = reached
        self._ended = ended
        self._failed = failed
        self._committed: Committed | None = None
        self._deadline = monotonic() + _UNDECIDED_S

    @property
    def until(self) -> int | None:
        """The end of the history, also before the first record; `None` if that is unknown."""
        return (
            self.end if self._committed is None or self.end is not None else self._committed.until
        )

    @property
    def remaining(self) -> int:
        """Number of offsets to the end of the history; 0 before the first record."""
        return 0 if self.end is None else max(0, self.end - self.next)

    def is_past(self, offset: int) -> bool:
        """Return whether a record is known to be no history; `takes` has to be asked all the same.

        Args:
            offset: Its offset.
        """
        return self.end is not None and offset >= self.end

    def learned(self, committed: Committed | None) -> None:
        """Take over what the group has committed; `None` if that cannot be known."""
        if committed is None:
            self._ended(self)
        else:
            self._committed = committed

    def takes(self, record: Message) -> bool:
        """Return whether a record is history, and count it. Never raises."""
        try:
            self.taken = self._takes(record)
        except Exception as fault:
            self.taken = False
            self._failed(fault)
            self._ended(self)
        return self.taken

    def _takes(self, record: Message) -> bool:
        offset = self._transport.offset(record)
        if self.end is None:
            if offset is None or not self._may_begin(record, offset):
                return False
            if self.end is None:
                # Old, and the answer of the broker is on its way: left out of all figures.
                return True
        if offset is None or offset >= self.end:
            self._reached(self)
            if offset is None or offset >= self.end + _MAY_COME_AGAIN:
                self._ended(self)
            return False
        self._count.value += 1
        self.handled += 1
        self.next = offset + 1
        if self.next == self.end:
            self._reached(self)
        return True

    def _may_begin(self, record: Message, offset: int) -> bool:
        """Decide by the first record; return false where it is no history."""
        committed = self._committed
        if committed is None or committed.offset is None:
            if record.timestamp < 0:
                # It says nothing, and has no wait: a later one decides.
                return False
            if record.timestamp > self._started_ms - GRACE_MS or (
                committed is None and monotonic() > self._deadline
            ):
                self._ended(self)
                return False
            if committed is None:
                return True
            end = self._known_end(offset + 1)
        elif committed.until is None or offset < committed.offset:
            # Records that waited for a group that was away, or that were lost before it came.
            self._ended(self)
            return False
        else:
            # The log may be a new one, of a topic that was created again.
            end = min(committed.until, self._known_end(committed.until))
        if offset >= end:
            self._ended(self)
            return False
        self.end, self.next = end, offset
        self._begun(self)
        return True

    def _known_end(self, otherwise: int) -> int:
        end = self._end_of(self.place)
        return otherwise if end is None else end


def begun_anew(flow: Mapping[str, object]) -> dict[str, object]:
    """Return a flow for what the handler of a history record sends: one that begins then."""
    return {name: value for name, value in flow.items() if name != semconv.ORIGIN}
