"""Live progress of a run on a terminal; silent everywhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich import progress as bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Progress(Protocol):
    """Receives the progress of a run."""

    def step(self, what: str) -> None:
        """Receive the name of the current step."""

    def placed(self) -> None:
        """Receive one accepted order."""

    def ended(self, orders: int) -> None:
        """Receive the number of orders that have ended."""


class LiveProgress:
    """Shows the progress of a run as bars."""

    def __init__(self, progress: bars.Progress, orders: int) -> None:
        self._progress = progress
        self._orders = orders
        self._placed: bars.TaskID | None = None
        self._ended: bars.TaskID | None = None
        self._step = progress.add_task("starting", total=None)

    def step(self, what: str) -> None:
        """Show the name of the current step."""
        self._progress.update(self._step, description=what)

    def placed(self) -> None:
        """Count one accepted order."""
        if self._placed is None:
            self._placed = self._progress.add_task("orders placed", total=self._orders)
            self._ended = self._progress.add_task("orders ended", total=self._orders)
        self._progress.advance(self._placed)

    def ended(self, orders: int) -> None:
        """Show the number of orders that have ended."""
        if self._ended is not None:
            self._progress.update(self._ended, completed=orders)


@contextmanager
def live_progress(console: Console, orders: int) -> Iterator[Progress]:
    """Show progress during the block; remove it afterwards."""
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
