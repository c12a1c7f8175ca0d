"""Live progress of a run, for a person at a terminal; silent everywhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich import progress as bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Progress(Protocol):
    """Who wants to know how far a run has come."""

    def step(self, what: str) -> None:
        """Hear what the run is busy with."""

    def placed(self) -> None:
        """Hear of an order that was accepted."""

    def ended(self, orders: int) -> None:
        """Hear how many orders have reached their end."""


class LiveProgress:
    """Tells how far a run has come."""

    def __init__(self, progress: bars.Progress, orders: int) -> None:
        self._progress = progress
        self._orders = orders
        self._placed: bars.TaskID | None = None
        self._ended: bars.TaskID | None = None
        self._step = progress.add_task("starting", total=None)

    def step(self, what: str) -> None:
        """Say what the run is busy with."""
        self._progress.update(self._step, description=what)

    def placed(self) -> None:
        """Count an order that was accepted."""
        if self._placed is None:
            self._placed = self._progress.add_task("orders placed", total=self._orders)
            self._ended = self._progress.add_task("orders at their end", total=self._orders)
        self._progress.advance(self._placed)

    def ended(self, orders: int) -> None:
        """Say how many orders have reached their end."""
        if self._ended is not None:
            self._progress.update(self._ended, completed=orders)


@contextmanager
def live_progress(console: Console, orders: int) -> Iterator[Progress]:
    """Show progress while the block runs, and nothing of it afterwards."""
    progress = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield LiveProgress(progress, orders)
