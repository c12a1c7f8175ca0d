"""Options that several commands share, the checks of their values, and what `--json` prints."""

from __future__ import annotations

import re
import tempfile
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from demo_pipeline.app.logs import parse_log_levels
from demo_pipeline.runtime.errors import UsageError
from demo_pipeline.runtime.private_files import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from demo_pipeline.app.logs import LogLevels

_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:,/@]+)(?::([0-9]{1,5}))?")
_MAX_PORT: Final = 65_535

json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class LazyChoice(click.ParamType[str]):
    """One of several values, which are imported only to check or to complete one.

    An option needs a metavar: its help is shown without the values.

    Args:
        place: Where the values are, as `module:name`.
    """

    name = "choice"

    def __init__(self, place: str) -> None:
        self._place = place

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the value."""
        return self._choice().convert(value, param, ctx)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """Return the values to choose from."""
        return self._choice().get_missing_message(param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete a value."""
        return self._choice().shell_complete(ctx, param, incomplete)

    def _choice(self) -> click.Choice[str]:
        module, _, name = self._place.partition(":")
        return click.Choice(tuple(getattr(import_module(module), name)))


def print_json(value: object, *, indented: bool = True) -> None:
    """Print JSON in UTF-8, whatever characters the terminal can show."""
    content = msgspec.json.encode(value)
    click.echo(msgspec.json.format(content) if indented else content)


def cluster_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option for the cluster."""
    return click.option(
        "--bootstrap-servers",
        envvar="KAFKA_BOOTSTRAP_SERVERS",
        callback=lambda _context, _option, text: _addresses(text),
        metavar="HOST:PORT",
        help="The Kafka cluster to use (or set KAFKA_BOOTSTRAP_SERVERS).",
    )(command)


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of commands that run services."""
    for option in (
        click.option(
            "--log-level",
            "log_levels",
            multiple=True,
            callback=lambda _context, _option, texts: _log_levels(texts),
            metavar="LEVEL|LOGGER=LEVEL",
            help="The level of log lines on standard error: debug, info, warning, error or "
            "critical. Repeat the option to set the level of a single logger, as in aiokafka=debug "
            "(which prints records and their values).  [default: warning]",
        ),
        click.option(
            "--http-port",
            type=click.IntRange(0, 65535),
            default=0,
            help="The port on 127.0.0.1 of the orders API, or of the views for `serve analytics`.  "
            "[default: a free port]",
        ),
        cluster_option,
    ):
        command = option(command)
    return command


def check_writable(folder: Path, option: str) -> None:
    """Create a folder that only its owner can read if it is missing, and try to write into it.

    Raises:
        UsageError: It cannot be created or written.
    """
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder} ({error.strerror}): choose another {option} folder"
        ) from error


def _log_levels(texts: tuple[str, ...]) -> LogLevels:
    try:
        return parse_log_levels(texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _addresses(text: str | None) -> str | None:
    for address in (text or "").split(",") if text else ():
        match = _ADDRESS.fullmatch(address.strip())
        if match is None or not 0 < int(match[1] or 1) <= _MAX_PORT:
            # The part before an @ may be a password.
            shown = "the address" if "@" in address else repr(address)
            raise click.BadParameter(f"{shown} is not of the form HOST:PORT")
    return text
