"""The end of the SDK's batch processors: within a time, with what is left behind counted.

The SDK shuts each of them down in up to 30 s, and does not say what it leaves in the queue. Its
private parts are read here and nowhere else; where they have other names, the SDK does as it does.
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
"""How long a provider that is shut down by itself may take, where the SDK takes 30 s."""


class BatchQueue:
    """What waits in a batch processor of the SDK. Safe in any thread.

    Args:
        processor: The processor.
        signal: What is in its queue.
        account: Where losses are counted.
    """

    def __init__(self, processor: object, signal: Signal, account: ExportAccount) -> None:
        self._batch: Any = getattr(processor, "_batch_processor", None)
        self._signal = signal
        self._account = account
        self._deadline: float | None = None
        queue = getattr(self._batch, "_queue", None)
        self.waiting: deque[Any] | None = queue if isinstance(queue, deque) else None
        """The queue; the SDK's own, and `None` where it has none by that name."""

    def end_by(self, deadline: float) -> None:
        """Set the moment, of the monotonic clock, by which `shut_down` returns."""
        self._deadline = deadline

    def shut_down(self, otherwise: Callable[[], None]) -> None:
        """Export what waits, stop, and count what was left.

        Args:
            otherwise: How the SDK does it.
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
