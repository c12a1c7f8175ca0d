"""Random identifiers from the operating system, fetched in bulk.

Not from a seeded generator: two processes that seed alike would give different events one
identity, and consumers would drop one of them. A system call for each would cost more than all
else that makes an event's headers.
"""

import os
import threading
from binascii import hexlify
from collections.abc import Iterator

_DIGITS = 32
_BULK = 128

_lock = threading.Lock()
_ids: Iterator[bytes] = iter(())


def random_id() -> bytes:
    """Make 128 random bits, as 32 hexadecimal digits. Safe in any thread, and after a fork."""
    global _ids  # noqa: PLW0603 - the one stock
    while True:
        # Taking from a list's iterator is one step for the interpreter: no two threads get one id.
        found = next(_ids, None)
        if found is not None:
            return found
        with _lock:
            digits = hexlify(os.urandom(_BULK * _DIGITS // 2))
            _ids = iter([digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)])


def _forget() -> None:
    global _ids, _lock  # noqa: PLW0603 - the one stock
    _ids = iter(())
    _lock = threading.Lock()


# A forked child must not hand out what its parent hands out.
os.register_at_fork(after_in_child=_forget)
