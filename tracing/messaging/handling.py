"""What the handling of one record and of several records have in common."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from tracing.core.text import label_of
from tracing.messaging.outcome import REJECTED

if TYPE_CHECKING:
    from types import TracebackType

    from tracing.messaging.outcome import Outcome


class Handling:
    """Starts and ends with its `with` or `async with` block, and has an outcome."""

    __slots__ = ("_outcome", "_reason")

    _outcome: Outcome
    _reason: str | None

    def reject(self, reason: str) -> None:
        """Set the outcome `rejected`: the business said no, which is not an error.

        Args:
            reason: Why, as a short fixed word or two; it appears on the span. No personal data.
        """
        self._outcome = REJECTED
        self._reason = label_of(reason)

    def waited(self, resource: str, seconds: float) -> None:
        """Record a wait of the handler; see `tracing.waited_for`. Never raises.

        Args:
            resource: What it waited for.
            seconds: For how long, until now.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Start the handling."""
        raise NotImplementedError

    def end(self, error: BaseException | None = None) -> None:
        """End the handling, with the error that left the block, if any."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.end(exc)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.end(exc)


def running_task() -> asyncio.Task[Any] | None:
    """Return the running task; `None` outside of an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
