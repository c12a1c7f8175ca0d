"""The terminal for all commands: console, progress, confirmation, failure."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


def console() -> Console:
    """Return a console on standard output, on which nothing is wrapped if it is not a terminal."""
    from rich.console import Console

    from tracing.cli.tables import WIDEST

    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=WIDEST)


class ProgressCallback(Protocol):
    """Receives the progress of a long command."""

    def __call__(self, number: int, *, absolute: bool = False) -> None:
        """Add `number` to the count, or set the count if `absolute`."""


@contextmanager
def counting(what: str) -> Iterator[ProgressCallback]:
    """Show a running count on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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


@contextmanager
def waiting(what: str, seconds: float | None) -> Iterator[Callable[[], None]]:
    """Say on standard error, if that is a terminal, what the command does and for how long.

    Args:
        what: What it does.
        seconds: For how long; nothing is said if that is 0 or `None`.

    Yields:
        A function that removes the line, before anything else is printed.
    """
    from rich.console import Console

    console = Console(stderr=True)
    status = console.status(f"{what} for up to {seconds:g} s") if seconds else None
    if status is None or not console.is_terminal:
        yield lambda: None
        return
    with status:
        yield status.stop


def ask(question: str, *, default: bool = False) -> None:
    """Ask at the terminal, and go on only if the answer is yes.

    Ctrl-C at the question ends the command. In a running event loop it would otherwise only cancel
    the task, which notices nothing before the question is answered.

    Raises:
        click.Abort: The answer is no.
    """
    if threading.current_thread() is not threading.main_thread():
        click.confirm(question, default=default, abort=True, err=True)
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        click.confirm(question, default=default, abort=True, err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def confirm(
    question: str, *, yes: bool, otherwise: str = "add --yes, or select dead letters"
) -> None:
    """Ask for confirmation at the terminal, unless `yes`.

    Args:
        question: The question.
        yes: Whether the answer is yes already.
        otherwise: What to do without a terminal.

    Raises:
        click.UsageError: There is no terminal to ask at.
        click.Abort: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"there is no terminal to ask at: {otherwise}")
    ask(question)


def fail(message: str, *, quiet: bool) -> NoReturn:
    """End with exit code 1, and say why unless `quiet`.

    Raises:
        click.ClickException: Not `quiet`.
        click.exceptions.Exit: `quiet`.
    """
    if quiet:
        raise click.exceptions.Exit(1)
    raise click.ClickException(message)
