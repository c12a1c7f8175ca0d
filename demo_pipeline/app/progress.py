"""Live progress of a run, for a person at a terminal; silent everywhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import TaskID


class RunProgress:
    """Tells how far a run has come."""

    def __init__(self, progress: Progress, orders: int) -> None:
        self._progress = progress
        self._orders = orders
        self._placed: TaskID | None = None
        self._ended: TaskID | None = None
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
def live_progress(console: Console, orders: int) -> Iterator[RunProgress]:
    """Show progress while the block runs, and nothing of it afterwards."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield RunProgress(progress, orders)
