"""From how a command ends to the exit code and the one line that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from demo_pipeline.app.cli import cli
from demo_pipeline.broker import BrokerError
from demo_pipeline.report import ReportNotWrittenError
from demo_pipeline.runtime.errors import DemoError, StoppedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED: Final = 1
_WRONG_USAGE: Final = 2
_STOPPED: Final = 130
_CODES: Final[dict[type[Exception], int]] = {UsageError: _WRONG_USAGE, StoppedError: _STOPPED}


def run_command_line(arguments: Sequence[str] | None) -> int:
    """Run the command that `arguments` name, and return its exit code."""
    try:
        cli.main(arguments, prog_name="demo_pipeline", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        click.echo(help_wanted.format_message(), err=True)
        return _WRONG_USAGE
    except click.ClickException as error:
        return _end(error.format_message(), error.exit_code)
    except (DemoError, BrokerError, ReportNotWrittenError) as error:
        return _end(str(error), _CODES.get(type(error), _FAILED))
    except click.Abort:
        return _end("stopped", _STOPPED)
    return 0


def _end(message: str, code: int) -> int:
    click.echo(f"demo_pipeline: {message}", err=True)
    return code
