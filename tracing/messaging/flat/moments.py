"""What the root messages of one millisecond share: the time of their events, and their baggage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.headers.cloudevents import MILLISECONDS, TIME, time_prefix
from tracing.headers.w3c import BAGGAGE

if TYPE_CHECKING:
    from tracing.headers.codec import Header
    from tracing.headers.context import Propagation

    Moment = tuple[int, int, int, Header, Header]
    """Its start and end, unix ns; itself, unix ms; the headers with its time and its baggage."""

_SECOND_MS: Final = 1000
_NEVER_MS: Final = 1 << 63
_DIGITS: Final = tuple(b"%03d" % number for number in range(_SECOND_MS))


class Moments:
    """The moments at which the sends of one producer begin. For one event loop.

    Args:
        propagation: Writes the baggage of a flow that begins.

    Attributes:
        last: The last one. It holds for a time from its start to before its end.
    """

    __slots__ = ("_propagation", "_second", "_second_ms", "last")

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self.last: Moment = (0, 0, 0, (TIME, b""), (BAGGAGE, b""))
        # What its time and baggage begin with, in the second that begins then, unix ms.
        self._second_ms = _NEVER_MS
        self._second = b"", b""

    def at(self, now_ns: int) -> Moment:
        """Make the moment of a time, unix ns, and keep it as the last one."""
        now_ms = now_ns // 1_000_000
        milliseconds = now_ms - self._second_ms
        if not 0 <= milliseconds < _SECOND_MS:
            milliseconds = now_ms % _SECOND_MS
            second = now_ms // _SECOND_MS
            self._second = time_prefix(second), self._propagation.begun(second)
            self._second_ms = now_ms - milliseconds
        time, written = self._second
        if now_ms < _SECOND_MS:
            # A clock that was never set: these have no whole seconds, or another sign.
            baggage = self._propagation.begun(now_ms)
        else:
            baggage = written + _DIGITS[milliseconds]
        since_ns = now_ms * 1_000_000
        moment = self.last = (
            since_ns,
            since_ns + 1_000_000,
            now_ms,
            (TIME, time + MILLISECONDS[milliseconds]),
            (BAGGAGE, baggage),
        )
        return moment
