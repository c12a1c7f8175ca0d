"""Groups of commands that are imported only when they run, and the option `--version`."""

from __future__ import annotations

import select
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

_DISTRIBUTION: Final = "pipeline-tracing"
_UNBROKEN: Final = "\N{NON-BREAKING HYPHEN}"


class _Formatter(click.HelpFormatter):
    """Breaks no line at a hyphen, so that each option is one word, as `--fail-if-over`."""

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        super().write_text(text.replace("-", _UNBROKEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write a list of options or commands."""
        whole = [(name, text.replace("-", _UNBROKEN)) for name, text in rows]
        super().write_dl(whole, col_max, col_spacing)

    def getvalue(self) -> str:
        """Return all that was written."""
        return super().getvalue().replace(_UNBROKEN, "-")


class _Context(click.Context):
    """Formats help with `_Formatter`."""

    formatter_class = _Formatter


class LazyCommand(click.Command):
    """Stands for a command in the help of its group and for a shell's completion.

    Args:
        name: The command's name.
        place: Where the command is, as `module:name`.
        short_help: The first sentence of its help.
    """

    def __init__(self, name: str, place: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._place = place

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = _at(self._place)
        command.context_class = _Context
        return command


class LazyGroup(click.Group):
    """A group that imports a command only to run it, to show its help or to complete its options.

    Each command imports clients, tables and formats that the others do not need.

    Args:
        explain: Where the function is that turns an exception into a `click.ClickException`, or
            returns `None` for a mistake in the program, as `module:function`; empty for none.
    """

    context_class = _Context

    def __init__(self, *args: Any, explain: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._explain = explain

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and explain why it failed."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, ModuleNotFoundError):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _reader_is_gone():
                raise  # click ends without a word, as for `| head -1`
            explained = _at(self._explain)(error) if self._explain else None
            if explained is None:
                raise
            raise explained from error

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command."""
        cmd.context_class = _Context
        super().add_command(cmd, name)

    def add_lazy(self, name: str, place: str, short_help: str) -> None:
        """Add a command; the arguments are those of `LazyCommand`."""
        self.add_command(LazyCommand(name, place, short_help))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest


def _reader_is_gone() -> bool:
    """Return whether standard output is a pipe that nothing reads any more."""
    poll = select.poll()
    try:
        poll.register(sys.stdout, 0)
    except (OSError, TypeError, ValueError):
        return False  # not a file, closed, or none at all
    return bool(poll.poll(0))


def _at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _print_version(context: click.Context, _option: click.Parameter, wanted: Any) -> None:
    if not wanted or context.resilient_parsing:
        return
    click.echo(f"{_DISTRIBUTION} {__version__}")
    context.exit()


version_option: Final = click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
