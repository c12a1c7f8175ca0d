"""Which task runs."""

from __future__ import annotations

import asyncio
from typing import Any


def running_task() -> asyncio.Task[Any] | None:
    """The task that runs; `None` outside of an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
