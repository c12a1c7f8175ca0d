"""Options that several commands share, and the checks of what they are given."""

from __future__ import annotations

import re
import tempfile
from typing import TYPE_CHECKING, Final

import click

from demo_pipeline.app.logs import parse_log_levels
from demo_pipeline.runtime.errors import UsageError
from demo_pipeline.runtime.private_files import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo_pipeline.app.logs import LogLevels

_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:,/@]+)(?::([0-9]{1,5}))?")
_MAX_PORT: Final = 65_535


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of commands that run services."""
    for option in (
        click.option(
            "--log-level",
            "log_levels",
            multiple=True,
            callback=lambda _context, _option, given: _log_levels(given),
            metavar="LEVEL|LOGGER=LEVEL",
            help="What to log on standard error: debug, info, warning, error or critical; may be "
            "given again, for a logger by name (aiokafka=debug prints records and their values).  "
            "[default: warning]",
        ),
        click.option(
            "--http-port",
            type=click.IntRange(0, 65535),
            default=0,
            help="Where `orders` takes HTTP on 127.0.0.1.  [default: a free port]",
        ),
        click.option(
            "--bootstrap-servers",
            envvar="KAFKA_BOOTSTRAP_SERVERS",
            callback=lambda _context, _option, given: _addresses(given),
            metavar="HOST:PORT",
            help="The Kafka cluster to use (or KAFKA_BOOTSTRAP_SERVERS).",
        ),
    ):
        command = option(command)
    return command


def check_writable(folder: Path) -> None:
    """Make a folder where there is none, for its owner alone, and try to write into it.

    Raises:
        UsageError: That does not work.
    """
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write a report to {folder} ({error.strerror}): name another --report folder"
        ) from error


def _log_levels(given: tuple[str, ...]) -> LogLevels:
    try:
        return parse_log_levels(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _addresses(given: str | None) -> str | None:
    for address in (given or "").split(",") if given else ():
        found = _ADDRESS.fullmatch(address.strip())
        if found is None or not 0 < int(found[1] or 1) <= _MAX_PORT:
            # What stands before an @ may be a password.
            shown = "what is given" if "@" in address else repr(address)
            raise click.BadParameter(f"{shown} is not of the form HOST:PORT")
    return given
