"""Progress of long work, for a person at a terminal; silent everywhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator


class Told(Protocol):
    """Hears how many there are more, or how many there are in all."""

    def __call__(self, number: int, *, absolute: bool = False) -> None:
        """Hear it."""


@contextmanager
def counting(what: str) -> Iterator[Told]:
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

        def told(number: int, *, absolute: bool = False) -> None:
            if absolute:
                progress.update(task, completed=number)
            else:
                progress.advance(task, number)

        yield told
