"""The lanes of one consumer that may be catching up, from their assignment on."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv
from tracing.core.bounded import MAX_KEPT, BoundedDict
from tracing.core.log import EventLog
from tracing.messaging.catch_up import (
    NOTHING_COMMITTED,
    Committed,
    LaneCatchUp,
    metadata_of,
)
from tracing.messaging.catch_up_gauges import CatchingUp, report
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from tracing.messaging.subscription import SubscribedLane
    from tracing.messaging.transport import ClientInfo
    from tracing.telemetry import Telemetry

    ReadCommitted = Callable[[Collection[Any]], Awaitable[Mapping[Any, Committed]]]
    _Judge = Callable[[Committed], Committed | None]

_logger = EventLog("tracing.catch_up")

# The records of a lane arrive later than this answer, which takes one request: a client asks the
# same before it fetches. Both wait while the coordinator of a group is not there.
_ANSWER_S: Final = 60.0


class CatchUps:
    """Finds the lanes of one consumer that start on history. For one event loop; never raises.

    It learns of assignments as an observer of rebalances. Where it cannot, because the partitions
    are assigned by hand or the consumer was traced later, a lane starts when the consumer does, or
    is first wrapped. Then records that arrive before the broker's answer, and are older than the
    start, are in no figure.

    What a lane was when it was revoked, it still is when the same consumer gets it back at once.

    Args:
        telemetry: What the service's clients share.
        info: The consumer.
        read_committed: Asks what the group has committed in lanes. Lanes that it leaves out count
            as usual.
        end_of: Returns the end of a lane's log as the client knows it; `None` if it does not.
        reads: Returns whether the client reads a lane.
        takes_metadata: Whether a commit may have offsets with metadata.

    Attributes:
        lanes: The lanes whose records are handled, by place; set once they are there.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        *,
        read_committed: ReadCommitted,
        end_of: Callable[[Any], int | None],
        reads: Callable[[Any], bool],
        takes_metadata: bool = True,
    ) -> None:
        self.lanes: Mapping[Any, SubscribedLane] = {}
        self._telemetry = telemetry
        self._transport = info.transport
        self._info = info
        self._group = info.group
        self._read_committed = read_committed
        self._end_of = end_of
        self._reads = reads
        self._takes_metadata = takes_metadata
        self._started_ms = time_ns() // 1_000_000
        # The lanes that the consumer has, and those of them that may be catching up.
        self._held: dict[Any, None] = {}
        self._open: dict[Any, LaneCatchUp] = {}
        self._revoked: set[Any] = set()
        self._catching_up: dict[Any, LaneCatchUp] = {}
        self._topics: BoundedDict[str, CatchingUp] = BoundedDict(
            lambda topic: CatchingUp(_labels(info, topic))
        )
        self._asking: set[asyncio.Task[None]] = set()

    def of(self, place: Any) -> LaneCatchUp | None:
        """Return what decides about a lane whose first record is there; `None` if it is decided."""
        try:
            if place not in self._held and self._reads(place):
                self._begin((place,), self._started_ms)
            return self._open.get(place)
        except Exception as fault:
            self._failed(fault)
            return None

    def started(self, lanes: Collection[Any]) -> None:
        """Note that the consumer has started, with lanes that no rebalance has announced."""
        try:
            self._begin([lane for lane in lanes if lane not in self._held], time_ns() // 1_000_000)
        except Exception as fault:
            self._failed(fault)

    async def revoked(self, lanes: Collection[Any]) -> None:
        """Note that lanes may go to other members of the group."""
        self._revoked.update(lanes)

    def arriving(self, lanes: Collection[Any]) -> None:
        """Begin lanes that are new, and forget those that are gone."""
        gone, self._revoked = self._revoked.difference(lanes), set()
        try:
            for place in gone:
                self._forget(place)
        except Exception as fault:
            self._failed(fault)
        self.started(lanes)

    async def assigned(self, lanes: Collection[Any]) -> None:
        """Do nothing: `arriving` has done it."""

    def rewound(self, lanes: Collection[Any]) -> None:
        """Note that the application reads lanes from their beginning again: all that is history."""
        try:
            anew = [place for place in lanes if place not in self._catching_up]
            for place in anew:
                self._forget(place)
            self._begin(anew, time_ns() // 1_000_000, asks=False)
            for place in anew:
                self._learned(place, NOTHING_COMMITTED)
        except Exception as fault:
            self._failed(fault)

    def sought(self, place: Any, offset: int) -> None:
        """Note that the application goes on at an offset.

        What the group has committed before is history then. All else counts as usual: only the
        application knows what its offset is, which may come from a store of its own.
        """
        try:
            if offset == 0:
                self.rewound((place,))
                return
            self._forget(place)
            self._begin((place,), time_ns() // 1_000_000, asks=False)
            self._ask((place,), partial(_until_committed, offset))
        except Exception as fault:
            self._failed(fault)

    def marked(self, offsets: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Return offsets to commit, with metadata for lanes that will still be catching up.

        Args:
            offsets: Offsets by lane. Those that have metadata of their own stay as they are.
        """
        try:
            if not self._open:
                return offsets
            marked = {
                place: self._marked(place, offset) if type(offset) is int else offset
                for place, offset in offsets.items()
            }
        except Exception as fault:
            self._failed(fault)
            return offsets
        return marked if self._takes_metadata else offsets

    def metadata(self, place: Any, offset: int) -> str:
        """Return the metadata of an offset that is to be committed; empty as a rule."""
        catch_up = self._open.get(place)
        until = None if catch_up is None else catch_up.until
        if until is None or offset >= until:
            return ""
        return metadata_of(until)

    @property
    def marks(self) -> bool:
        """Whether a commit may need metadata."""
        return self._takes_metadata and bool(self._open)

    def closing(self) -> None:
        """Stop asking: the consumer is about to close, perhaps after a last commit."""
        for task in tuple(self._asking):
            task.cancel()

    def closed(self) -> None:
        """Forget all lanes and report nothing more."""
        for memory in (self._held, self._open, self._catching_up, self._topics):
            memory.clear()

    def _marked(self, place: Any, offset: int) -> Any:
        metadata = self.metadata(place, offset)
        if metadata:
            return offset, metadata
        catch_up = self._catching_up.get(place)
        if catch_up is not None:
            # What is left below the end are no records, such as the ends of transactions.
            self._ended(catch_up)
        return offset

    def _begin(self, lanes: Iterable[Any], started_ms: int, *, asks: bool = True) -> None:
        begun = []
        for place in lanes:
            if len(self._held) >= MAX_KEPT:
                self._forget(next(iter(self._held)))
            self._held[place] = None
            lane = self._open[place] = LaneCatchUp(
                place,
                started_ms,
                transport=self._transport,
                end_of=self._end_of,
                count=self._telemetry.metrics.count(
                    catalog.CATCH_UP_RECORDS, _labels(self._info, place[0])
                ),
                begun=self._begun,
                reached=self._reached,
                ended=self._ended,
                failed=self._failed,
            )
            self._show(place, lane)
            begun.append(place)
        if asks and begun:
            self._ask(begun, _as_it_is)

    def _ask(self, places: Collection[Any], judge: _Judge) -> None:
        """Ask what the group has committed in lanes, without waiting for it."""
        if self._group is None:
            for place in places:
                self._learned(place, judge(NOTHING_COMMITTED))
            return
        asked = {place: self._open[place] for place in places if place in self._open}
        try:
            task = asyncio.get_running_loop().create_task(
                self._asked(asked, judge), name="committed offsets of new lanes"
            )
        except RuntimeError:
            # Outside of an event loop nothing can be asked.
            for place in places:
                self._learned(place, None)
            return
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _asked(self, asked: Mapping[Any, LaneCatchUp], judge: _Judge) -> None:
        committed: Mapping[Any, Committed] = {}
        try:
            async with asyncio.timeout(_ANSWER_S):
                committed = await self._read_committed(tuple(asked))
        except Exception as fault:
            self._failed(fault)
        for place, catch_up in asked.items():
            # It may have been assigned or sought anew since.
            if self._open.get(place) is catch_up:
                answer = committed.get(place)
                catch_up.learned(None if answer is None else judge(answer))

    def _learned(self, place: Any, committed: Committed | None) -> None:
        catch_up = self._open.get(place)
        if catch_up is not None:
            catch_up.learned(committed)

    def _begun(self, catch_up: LaneCatchUp) -> None:
        topic = self._topics[catch_up.place[0]]
        self._catching_up[catch_up.place] = catch_up
        if topic.begin(catch_up):
            report(self._telemetry.metrics, topic)
            _logger.info(
                "group %s starts on history in %s: it is catching up, with %d records in the first "
                "partition that it reads; they are no lag of the flow",
                self._group,
                self._transport.lane_names((catch_up.place,)),
                catch_up.remaining,
            )

    def _ended(self, catch_up: LaneCatchUp) -> None:
        place = catch_up.place
        if self._open.get(place) is catch_up:
            del self._open[place]
            self._show(place, None)
        self._reached(catch_up)

    def _reached(self, catch_up: LaneCatchUp) -> None:
        place = catch_up.place
        if self._catching_up.get(place) is catch_up:
            del self._catching_up[place]
            topic = self._topics[place[0]]
            if topic.end(catch_up):
                _logger.info(
                    "group %s has caught up with %s: %d records in %.1f s",
                    self._group,
                    place[0],
                    topic.handled,
                    monotonic() - topic.began,
                )

    def _forget(self, place: Any) -> None:
        self._held.pop(place, None)
        catch_up = self._open.pop(place, None)
        if catch_up is not None:
            self._show(place, None)
            if self._catching_up.pop(place, None) is not None:
                self._topics[place[0]].end(catch_up)

    def _show(self, place: Any, catch_up: LaneCatchUp | None) -> None:
        lane = self.lanes.get(place)
        if lane is not None:
            lane.catching_up(catch_up)

    def _failed(self, fault: BaseException) -> None:
        self._telemetry.diagnostics.failed("catch_up", fault)


def _as_it_is(committed: Committed) -> Committed:
    return committed


def _until_committed(sought: int, committed: Committed) -> Committed | None:
    """Judge what a group has committed when the application goes on at an offset."""
    until = max(committed.offset or 0, committed.until or 0)
    return Committed(sought, until) if until > sought else None


def _labels(info: ClientInfo, topic: str) -> dict[str, str | int]:
    labels: dict[str, str | int] = {semconv.DESTINATION: topic}
    if info.group is not None:
        labels[semconv.GROUP] = info.group
    return labels
