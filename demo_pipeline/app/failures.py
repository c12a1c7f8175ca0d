"""Failures of the demo as lines for the user, with their exit codes."""

from __future__ import annotations

import click

from demo_pipeline.report import ReportNotWrittenError
from demo_pipeline.runtime.errors import BrokerError, DemoError, StoppedError, UsageError
from tracing.cli.program import STOPPED


class _Stopped(click.ClickException):
    exit_code = STOPPED


def explained(error: Exception) -> click.ClickException | None:
    """Return a failure as a line for the user; `None` for a mistake in this program."""
    if isinstance(error, UsageError):
        return click.UsageError(str(error))
    if isinstance(error, StoppedError):
        return _Stopped(str(error))
    if isinstance(error, (DemoError, BrokerError, ReportNotWrittenError)):
        return click.ClickException(str(error))
    return None
