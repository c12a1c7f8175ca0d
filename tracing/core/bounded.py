"""Values kept per topic or partition, within a bound, because names may be unlimited."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_KEPT: Final = 10_000
"""More topics and partitions than one client uses at a time."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(dict[Key, Value]):
    """Makes the value of a missing key, and keeps the last `MAX_KEPT` values.

    A full dict drops its oldest value, and makes it again when it is needed. No metric series is
    lost by that: `Metrics` hands out the existing series again.

    A hit costs what it costs in a plain dict. Only `cache[key]` makes a value: `get` and `in` do
    not, and an assignment to a new key would ignore the bound.

    Args:
        make: Makes the value of a key. What it raises reaches the caller, and nothing is kept.

    Thread safety: any number of threads. Two that need a new key at once may make two values, of
    which one is kept.

    Example::

        destinations = BoundedDict(partial(Destination, telemetry, info))
        destinations["orders"].series.succeeded.record(0.01)
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Key], Value]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> Value:
        """Make and keep the value of a key."""
        value = self._make(key)
        if len(self) >= MAX_KEPT:
            # Another thread may do the same at this moment.
            with suppress(KeyError, RuntimeError):
                del self[next(iter(self))]
        self[key] = value
        return value


class OncePerInterval(Generic[Key]):
    """Reports whether something is due for a key: at most once in each interval.

    Args:
        interval_s: The interval, in seconds.
    """

    __slots__ = ("_due_at", "_interval_s")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due_at: BoundedDict[Key, float] = BoundedDict(lambda _: float("-inf"))

    def due(self, key: Key, now_s: float) -> bool:
        """Return whether the interval has passed since the last `True` for this key."""
        if now_s < self._due_at[key]:
            return False
        self._due_at[key] = now_s + self._interval_s
        return True
