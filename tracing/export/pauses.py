"""Pauses of the exporting thread, in which the event loop's thread gets the interpreter lock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections import deque

# A thread that asks for the interpreter lock gets it after 5 ms, or at once where it is free: each
# wait for the network would cost an event loop 5 ms while another thread encodes.
_PAUSE_S: Final = 0.0005


class Pauses:
    """Gives way to other threads for half a millisecond, unless there is no time for that.

    Attributes:
        queue: What waits to be exported. Where it is half full, being on time is less important
            than losing nothing.
    """

    def __init__(self) -> None:
        self.queue: deque[Any] | None = None

    def __call__(self) -> None:
        """Pause, if there is time."""
        queue = self.queue
        if queue is None or queue.maxlen is None or len(queue) < queue.maxlen // 2:
            time.sleep(_PAUSE_S)
