"""What a consumer remembers of the keys and events that it handled, within a bound."""

from __future__ import annotations

from typing import Final

MAX_KEYS: Final = 10_000
"""So many keys, the latest ones, are remembered; most of the time more, never twice as many."""

MAX_EVENTS: Final = 10_000
"""So many events, the latest ones, are remembered; as above."""

Seen = tuple[int, bytes]
"""The number of the lane in which a key was last handled, and the `ce_time` of that event."""


class OrderMemory:
    """The latest keys and events, by hashes of 64 bits. Full, it holds about 6 MB.

    Both are kept in two generations: the young one becomes the old one when it is full, and what is
    then in the old one is forgotten. That costs less per record than one queue of exact length.

    Attributes:
        keys: The young generation of keys. Only known keys may be assigned; else `remember` them.
        events: The young generation of events. At `MAX_EVENTS` call `age_events`.
    """

    __slots__ = ("_old_events", "_old_keys", "events", "keys")

    def __init__(self) -> None:
        self.keys: dict[int, Seen] = {}
        self.events: set[int] = set()
        self._old_keys: dict[int, Seen] = {}
        self._old_events: set[int] = set()

    def seen(self, key: int) -> Seen | None:
        """Return where and when a key was last handled; `None` if that is not known."""
        return self.keys.get(key) or self._old_keys.get(key)

    def remember(self, key: int, seen: Seen) -> None:
        """Remember where and when a key was last handled."""
        self.keys[key] = seen
        if len(self.keys) >= MAX_KEYS:
            self.keys, self._old_keys = {}, self.keys

    def forget(self, key: int) -> None:
        """Forget a key."""
        self.keys.pop(key, None)
        self._old_keys.pop(key, None)

    def handled(self, event: int) -> bool:
        """Return whether an event was handled before."""
        return event in self.events or event in self._old_events

    def remember_event(self, event: int) -> None:
        """Remember that an event was handled."""
        self.events.add(event)
        if len(self.events) >= MAX_EVENTS:
            self.age_events()

    def age_events(self) -> None:
        """Make room for events."""
        self.events, self._old_events = set(), self.events
