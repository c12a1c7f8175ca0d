"""Where a record's headers are: what their names say is found out once for each list of names.

The records of a topic mostly have the same headers in the same order. So their names are compared
with those of the last record, and the values are taken by position: a dictionary for each record
would cost three times as much.
"""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from tracing.headers import cloudevents, w3c
from tracing.headers.codec import MAX_SCANNED
from tracing.headers.dead_letter import REPLAY_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.messaging.flat.engine import Reason

_MAX_LAYOUTS: Final = 256
_MAX_NAMES: Final = 512
_MAX_UNPACKED: Final = 16

PLAIN_EVENT: Final = (
    cloudevents.ID, cloudevents.TIME, cloudevents.SPECVERSION, cloudevents.SOURCE, cloudevents.TYPE,
    w3c.TRACEPARENT, w3c.BAGGAGE,
)  # fmt: skip
"""The names of a message's headers where the application gave it none, in their order."""

_Parts = tuple[tuple[str, ...], tuple[Any, ...]]


class HeaderLayout:
    """What the names of a record's headers say, whatever their values.

    The positions are those in a tuple of the values with `None` as its last element: that is where
    an absent header is.

    Args:
        names: The names, each once.

    Attributes:
        names: The same.
        count: How many they are.
        unpack: Takes so many headers apart, see `taken_apart`; a call of that would cost more.
        pick: Returns the id, the time, the type, the subject, the sender's span and the baggage of
            a tuple of values.
        reason: Why a record with them goes through the general code; `None` if it need not.
        baggage: The position of the baggage.
        created: That of the event's time.
        event_id: That of its id.
        event_type: That of its type.
        subject: That of its subject.
        traceparent: That of the sender's span.
        has_parent: Whether there is one.
    """

    __slots__ = (
        "baggage", "count", "created", "event_id", "event_type", "has_parent", "names", "pick",
        "reason", "subject", "traceparent", "unpack",
    )  # fmt: skip

    def __init__(self, names: tuple[str, ...]) -> None:
        places = {name: place for place, name in enumerate(names)}
        absent = len(names)
        self.names = names
        self.count = absent
        self.unpack = unpacking(absent)
        self.baggage = places.get(w3c.BAGGAGE, absent)
        self.created = places.get(cloudevents.TIME, absent)
        self.event_id = places.get(cloudevents.ID, absent)
        self.event_type = places.get(cloudevents.TYPE, absent)
        self.subject = places.get(cloudevents.SUBJECT, absent)
        self.traceparent = places.get(w3c.TRACEPARENT, absent)
        self.pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] = itemgetter(
            self.event_id, self.created, self.event_type, self.subject, self.traceparent,
            self.baggage,
        )  # fmt: skip
        self.has_parent = w3c.TRACEPARENT in places
        self.reason: Reason | None = None
        if len(places) != len(names):
            # Where there are two of a name, the last one counts.
            self.reason = "headers"
        elif w3c.TRACESTATE in places:
            self.reason = "context_headers"
        elif REPLAY_GROUP in places:
            self.reason = "replayed"


class HeaderLayouts:
    """The layouts of the headers that a consumer has seen. For one event loop."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], HeaderLayout] = {}

    def of(self, names: tuple[str, ...]) -> HeaderLayout:
        """Return the layout of headers with these names.

        Raises:
            TypeError: One of them is no name.
        """
        layout = self._known.get(names)
        if layout is None:
            layout = HeaderLayout(names)
            # Names may be invented, and of any length.
            if len("".join(names)) <= _MAX_NAMES:
                if len(self._known) >= _MAX_LAYOUTS:
                    self._known.clear()
                self._known[names] = layout
        return layout


def taken_apart(headers: Any) -> _Parts:
    """Return the names of headers, and their values with `None` behind them.

    Raises:
        TypeError: They are no headers.
        ValueError: They are no pairs, or too many.
    """
    return unpacking(len(headers))(headers)


def unpacking(count: int) -> Callable[[Any], _Parts]:
    """Return the function that takes so many headers apart; see `taken_apart`."""
    return _unpacking(count) if count <= _MAX_UNPACKED else _many


def _many(headers: Any) -> _Parts:
    if len(headers) > MAX_SCANNED:
        raise ValueError("more headers than are looked at")
    return tuple(name for name, _ in headers), (*(value for _, value in headers), None)


@cache
def _unpacking(count: int) -> Callable[[Any], _Parts]:
    """Make the function that unpacks so many headers, in half the time of a loop."""
    names, values = ("".join(f"{kind}{at}, " for at in range(count)) for kind in "nv")
    pairs = "".join(f"(n{at}, v{at}), " for at in range(count))
    made: dict[str, Any] = {}
    source = f"def unpack(headers):\n [{pairs}] = headers\n return ({names}), ({values}None,)"
    exec(source, made)  # noqa: S102 - only numbers are inserted, as `namedtuple` does with names
    unpack: Callable[[Any], _Parts] = made["unpack"]
    return unpack
