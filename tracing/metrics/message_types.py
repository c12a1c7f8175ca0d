"""Values kept for each type of message, within a bound on the number of types."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

from tracing.core import semconv
from tracing.core.ids import in_forked_child
from tracing.core.text import name_in

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE_TYPES: Final = 64
"""Types that the metrics of one process name; further ones share one series."""
MAX_OTHER_TYPES: Final = 64
"""Types without a label for which one destination has values of their own."""

Value = TypeVar("Value")


class TypeNames:
    """The types of messages that the metrics on one meter provider name. Safe in any thread.

    Types come with the messages. The bound holds for all topics and groups together.
    """

    __slots__ = ("__weakref__", "_lock", "_names")

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()
        in_forked_child(self._free_lock)

    def label(self, name: str) -> str:
        """Return the label of a type: its name, or `_OTHER` once there are too many."""
        with self._lock:
            if name not in self._names:
                if name == semconv.OTHER or len(self._names) >= MAX_MESSAGE_TYPES:
                    return semconv.OTHER
                self._names.add(name)
        return name

    def _free_lock(self) -> None:
        self._lock = threading.Lock()


class ByType(dict[bytes | None, Value]):
    """The values of one destination by the type of its messages, as bytes. For one thread.

    A hit costs what it costs in a plain dict. The types that share a label share a value, so it
    holds no more values than there are labels, and `MAX_OTHER_TYPES` made by `name`.

    Args:
        names: The types that have a label of their own.
        make: Makes the value of a label; of `None` for messages without a type.
        invalid: Called for a type that cannot be used; such a message counts as untyped.
        name: Makes the value of a type without a label of its own from the shared value, for the
            first of these types. By default all of them have the shared value itself.

    Example::

        sent = ByType(names, partial(count, topic))
        sent[b"OrderPlaced"].value += 1
    """

    __slots__ = ("_invalid", "_make", "_name", "_names", "_other", "_others_left")

    def __init__(
        self,
        names: TypeNames,
        make: Callable[[str | None], Value],
        invalid: Callable[[], None] | None = None,
        name: Callable[[Value, str], Value] | None = None,
    ) -> None:
        super().__init__()
        self._names = names
        self._make = make
        self._invalid = invalid
        self._name = name
        self._other: Value | None = None
        self._others_left = MAX_OTHER_TYPES

    def __missing__(self, message_type: bytes | None) -> Value:
        """Return the value of a type, and keep it unless it is the shared one."""
        name = name_in(message_type)
        if name is None and message_type is not None:
            if self._invalid is not None:
                self._invalid()
            return self[None]
        label = None if name is None else self._names.label(name)
        if label == semconv.OTHER:
            if self._other is None:
                self._other = self._make(label)
            if self._name is None or name is None or not self._others_left:
                return self._other
            self._others_left -= 1
            value = self[message_type] = self._name(self._other, name)
            return value
        value = self[message_type] = self._make(label)
        return value
