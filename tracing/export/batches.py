"""The shutdown of the SDK's batch processors: within a time, with what is left counted.

The SDK takes up to 30 s for each of them, and does not report what it leaves in the queue. The
queue is a private attribute. Where it has another name, the SDK shuts down in its own way.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.export.account import ExportAccount
    from tracing.export.answers import Signal

_TIMEOUT_S: Final = 5.0
"""How long a provider may take that is shut down alone; the SDK takes 30 s."""


class BatchQueue:
    """The queue of a batch processor of the SDK. Safe in any thread.

    Args:
        processor: The processor.
        signal: The kind of items in its queue.
        account: Where losses are counted.
    """

    def __init__(self, processor: object, signal: Signal, account: ExportAccount) -> None:
        self._batch: Any = getattr(processor, "_batch_processor", None)
        self._signal = signal
        self._account = account
        self._deadline: float | None = None
        queue = getattr(self._batch, "_queue", None)
        self.waiting: deque[Any] | None = queue if isinstance(queue, deque) else None
        """The SDK's own queue; `None` where it has none by that name."""

    def end_by(self, deadline: float) -> None:
        """Set the time of the monotonic clock by which `shut_down` returns."""
        self._deadline = deadline

    def shut_down(self, otherwise: Callable[[], None]) -> None:
        """Export what is waiting, stop, and count what is left.

        Args:
            otherwise: Shuts down in the SDK's own way.
        """
        waiting = self.waiting
        if waiting is None:
            otherwise()
            return
        timeout_s = _TIMEOUT_S
        if self._deadline is not None:
            timeout_s = max(0.0, self._deadline - time.monotonic())
        self._batch.shutdown(timeout_millis=int(timeout_s * 1000))
        left = len(waiting)
        waiting.clear()
        self._account.give_up(self._signal, left)
