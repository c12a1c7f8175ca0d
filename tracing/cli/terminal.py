"""Text for a person at a terminal: what may be shown, times and ages, and running counts."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""The units of ages, in seconds."""

_WIDE: Final = 180
# The end of the year 9999; headers can hold any number.
_LATEST_MS: Final = 253_402_300_799_000


def console() -> Console:
    """Standard output; wide enough for a table where it is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDE)


def iso_time(moment_ms: int) -> str:
    """Write unix ms as an ISO 8601 time in UTC, to the second."""
    if not 0 < moment_ms <= _LATEST_MS:
        return "unknown"
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(moment_ms: int) -> str:
    """Write how long ago unix ms were, in the largest fitting unit."""
    if not 0 < moment_ms <= _LATEST_MS:
        return "unknown"
    seconds = max(0.0, time() - moment_ms / 1000)
    for unit in ("w", "d", "h", "m"):
        if seconds >= 2 * UNITS[unit]:
            return f"{seconds / UNITS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"


class ProgressCallback(Protocol):
    """Receives how many more there are, or how many there are in all."""

    def __call__(self, number: int, *, absolute: bool = False) -> None:
        """Add `number` to the count, or set the count to it if it is `absolute`."""


@contextmanager
def counting(what: str) -> Iterator[ProgressCallback]:
    """Show a running count on standard error."""
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:,.0f} {task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=None)

        def report(number: int, *, absolute: bool = False) -> None:
            if absolute:
                progress.update(task, completed=number)
            else:
                progress.advance(task, number)

        yield report
