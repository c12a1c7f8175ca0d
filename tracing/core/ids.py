"""Random identifiers, and what else a forked child must not share with its parent."""

from __future__ import annotations

import os
import threading
import weakref
from binascii import hexlify
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_DIGITS: Final = 32
_BULK: Final = 128

_lock = threading.Lock()
_stock: Final[list[bytes]] = []
# One step for the interpreter: no two threads get one id.
_take: Final = _stock.pop


def random_id() -> bytes:
    """Make 128 random bits, as 32 hexadecimal digits. Safe in any thread, and after a fork.

    The bits come from the operating system, in bulk: a system call for each id would cost more
    than all other headers of an event. A seeded generator is no choice. Two processes with the
    same seed would give different events the same identity, and consumers would drop one of them.
    """
    while True:
        try:
            return _take()
        except IndexError:
            with _lock:
                if not _stock:
                    bulk = os.urandom(_BULK * _DIGITS // 2)
                    # One call each for all ids: a slice for each would cost more than the rest.
                    _stock.extend(hexlify(bulk, b" ", _DIGITS // 2).split(b" "))


def _forget() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child lacks may have held it
    _stock.clear()
    _lock = threading.Lock()


# A forked child must not hand out the ids that its parent hands out.
os.register_at_fork(after_in_child=_forget)


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
