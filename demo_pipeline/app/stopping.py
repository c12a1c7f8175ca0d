"""The end of work at Ctrl-C."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from demo_pipeline.runtime.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")


def until_stopped(work: Coroutine[None, None, Result]) -> Result:
    """Do the work in an event loop.

    Raises:
        StoppedError: The user stopped it.
    """
    try:
        return asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise StoppedError("stopped") from None
