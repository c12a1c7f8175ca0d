"""Random identifiers, and what else a forked child must not share with its parent."""

from __future__ import annotations

import os
import threading
import weakref
from binascii import hexlify
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_BULK: Final = 128


class IdStock:
    """Random ids in one form, made in bulk. Safe in any thread, and after a fork.

    The bits come from the operating system: a system call for each id would cost more than all
    other headers of an event. A seeded generator is no choice. Two processes with the same seed
    would give different events the same identity, and consumers would drop one of them.

    Args:
        form: How an id is written, with a `%b` for each of its parts.
        digits: How many hexadecimal digits each of the parts has, an even number.

    Attributes:
        take: Returns an id; a call of `new` would cost as much as making one.

    Example::

        try:
            span_id = stock.take()
        except IndexError:
            span_id = stock.new()
    """

    __slots__ = ("__weakref__", "_bytes", "_cut", "_form", "_ids", "_lock", "_parts", "take")

    def __init__(self, form: bytes, *digits: int) -> None:
        self._form = b"" if form == b"%b" else form * _BULK
        self._bytes = sum(digits) // 2 * _BULK
        self._parts = Struct("".join(f"{number}s" for number in digits) * _BULK)
        self._cut = Struct(f"{len(form % tuple(b'0' * number for number in digits))}s" * _BULK)
        self._ids: list[bytes] = []
        # One step for the interpreter: no two threads get one id.
        self.take: Final = self._ids.pop
        self._forget()
        in_forked_child(self._forget)

    def _forget(self) -> None:
        # A forked child must not hand out the ids that its parent hands out, and a thread that the
        # child lacks may have held the lock.
        self._ids.clear()
        self._lock = threading.Lock()

    def new(self) -> bytes:
        """Return an id, whether or not some are left."""
        while True:
            try:
                return self.take()
            except IndexError:
                with self._lock:
                    if not self._ids:
                        # One call each for all ids: one for each of them costs three times as much.
                        self._ids.extend(self._cut.unpack(self._made()))

    def _made(self) -> bytes:
        """Make ids, one behind the other."""
        made = hexlify(os.urandom(self._bytes))
        return self._form % self._parts.unpack(made) if self._form else made


class _DroppedRoots(IdStock):
    """The `traceparent` headers of new traces that nothing records.

    A hundred in a row have the span id and the first half of the trace id in common, which are
    random, too. The other half, by which samplers decide and which a flag calls random, is each
    one's own. A third as many random bits take half of the time.
    """

    __slots__ = ("_flags",)

    def __init__(self, flags: bytes) -> None:
        self._flags = flags
        super().__init__(b"00-%b-%b-" + flags, 32, 16)
        self._bytes = 16 + 8 * _BULK
        self._parts = Struct("16s" * _BULK)

    def _made(self) -> bytes:
        made = hexlify(os.urandom(self._bytes))
        before, after = b"00-" + made[:16], b"-%b-%b" % (made[16:32], self._flags)
        own = self._parts.unpack(made[32:])
        return before + (after + before).join(own) + after


def in_forked_child(act: Callable[[], None]) -> None:
    """Call a bound method in every child that is forked from now on, while its object lives.

    A thread that the child lacks may hold one of the object's locks, and what the parent counted
    is not the child's.
    """
    weak = weakref.WeakMethod(act)

    def after_in_child() -> None:
        if (method := weak()) is not None:
            method()

    os.register_at_fork(after_in_child=after_in_child)


MESSAGE_IDS: Final = IdStock(b"%b", 32)
"""Ids of 128 bits, such as those of events."""

random_id: Final = MESSAGE_IDS.new
"""Make 128 random bits, as 32 hexadecimal digits. Safe in any thread, and after a fork."""


@cache
def root_ids(flags: bytes) -> IdStock:
    """Return the stock of `traceparent` headers of new traces.

    An id of zeros alone has a chance of 2**-64; its receiver starts a trace of its own.

    Args:
        flags: The trace flags, two hexadecimal digits.
    """
    return IdStock(b"00-%b-%b-" + flags, 32, 16)


@cache
def dropped_root_ids(flags: bytes) -> IdStock:
    """Return the stock of `traceparent` headers of new traces that nothing records.

    Those made at once have more in common than other ids: see the class.

    Args:
        flags: The trace flags, two hexadecimal digits.
    """
    return _DroppedRoots(flags)


@cache
def child_ids(flags: bytes) -> IdStock:
    """Return the stock of what the `traceparent` of a child has after its trace: id and flags.

    Args:
        flags: The trace flags, two hexadecimal digits.
    """
    return IdStock(b"%b-" + flags, 16)


# The flags of a sampled parent with a random trace id have the second bit.
_CHILDREN: Final = IdStock(b"-%b-01", 16), IdStock(b"-%b-03", 16)
BELOW_SAMPLED: Final = {b"%02x" % flags: _CHILDREN[flags >> 1 & 1] for flags in range(1, 256, 2)}
"""By the flags of a sampled parent: what its child's `traceparent` has behind the trace id."""
