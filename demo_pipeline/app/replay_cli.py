"""The command `replay`."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from demo_pipeline.app.logs import LogLevels, console_logs
from demo_pipeline.app.options import LazyChoice, cluster_option, print_json
from demo_pipeline.runtime.errors import StoppedError, UsageError
from tracing import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo_pipeline.app.replay import ReplayCommand
    from tracing.replay import AtOffset, AtTime, End, ReplayProgress, Start

_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@click.command("replay")
@click.option(
    "--read-model",
    type=LazyChoice("demo_pipeline.services.read_models:PROJECTIONS"),
    required=True,
    metavar="[orders|products]",
    help="The read model to rebuild.",
)
@click.option(
    "--from",
    "start",
    default="beginning",
    show_default=True,
    callback=lambda _context, _option, text: _start(text),
    metavar="TIME|OFFSET|beginning",
    help="Where to start: an ISO 8601 time (UTC unless it has a zone), or the same offset in every "
    "partition. From the beginning, the read model is built from nothing. From elsewhere, a copy "
    "of its live rows gets the events from there on once more.",
)
@click.option(
    "--to",
    "end",
    default="live",
    show_default=True,
    callback=lambda _context, _option, text: _end(text),
    metavar="TIME|OFFSET|live",
    help="Where to end: before the first event at a time or offset, or where the service is. Only "
    "at `live` do the new rows replace the old ones. Elsewhere they stay beside them, as a "
    "generation of their own, until the next replay of the read model.",
)
@click.option(
    "--incomplete",
    is_flag=True,
    help="Go on although the read model will lack events: the log has lost its first ones, or was "
    "created anew, or most events of a type, or all, cannot be decoded and are left out.",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Begin anew instead of resuming an interrupted replay: after a change of the code.",
)
@click.option(
    "--leave-out-unknown",
    is_flag=True,
    help="Leave out events whose schema is unknown, instead of stopping: the service may have read "
    "them with another SCHEMA_REGISTRY_URL. Where those are most events of a type, it takes "
    "--incomplete as well.",
)
@click.option(
    "--databases",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="The folder of the service's database.  [default: the current folder]",
)
@cluster_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, no progress.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def replay_command(
    *,
    read_model: str,
    start: Start,
    end: End,
    incomplete: bool,
    restart: bool,
    leave_out_unknown: bool,
    databases: Path,
    bootstrap_servers: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Rebuild a read model of analytics from the log.

    It works beside a running service, which goes on meanwhile, and after a run that kept its
    databases. The new rows are built beside the live ones and replace them at once, without a gap.
    A replay that was killed resumes when the same command is given again; a second one at the same
    time is refused.

    Nothing is sent, charged or shipped again: a read model only stores rows.

    ANALYTICS_DATABASE_URL names another database than analytics.sqlite3 in the folder. Schemas come
    from this package, unless SCHEMA_REGISTRY_URL names a registry.
    """
    from demo_pipeline.app.replay import ReplayCommand
    from demo_pipeline.services import analytics
    from tracing.replay import ReplayOptions, refused_for_good

    if not bootstrap_servers:
        raise UsageError(
            "replay needs the Kafka cluster that holds the events: use --bootstrap-servers "
            "HOST:PORT or set KAFKA_BOOTSTRAP_SERVERS"
        )
    try:
        options = ReplayOptions(
            start=start,
            end=end,
            group=analytics.SERVICE.name,
            undecodable=_unprocessable if leave_out_unknown else refused_for_good,
            incomplete=incomplete,
            restart=restart,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    command = ReplayCommand(read_model, bootstrap_servers, databases, options)
    with console_logs(LogLevels()), _shown(quiet=quiet or as_json) as show:
        try:
            result = asyncio.run(_until_terminated(command, show))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise StoppedError("stopped: the same command resumes the replay") from None
    if as_json:
        print_json(asdict(result), indented=False)
    elif not quiet:
        click.echo(_summary(result, live=end == "live"))


def _unprocessable(error: Exception) -> bool:
    return isinstance(error, Unprocessable)


async def _until_terminated(
    command: ReplayCommand, show: Callable[[ReplayProgress], None]
) -> ReplayProgress:
    from demo_pipeline.app.replay import run_replay

    task = asyncio.current_task()
    if task is not None:
        # asyncio does the same on Ctrl-C.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run_replay(command, show)


def _summary(result: ReplayProgress, *, live: bool) -> str:
    """Return the result in words."""
    from demo_pipeline.report.wording import counted

    left_out = [
        f"{number:,} {what}"
        for number, what in (
            (result.undecodable, "that cannot be decoded"),
            (result.skipped, "that were replayed for other groups"),
        )
        if number
    ]
    rate = result.records / result.elapsed_s if result.elapsed_s else 0.0
    ended = (
        "replaces the one before"
        if live
        else "stays beside the live one until the next replay of this read model"
    )
    return (
        f"{result.read_model}: generation {result.generation} {ended}\n"
        f"{counted(result.applied, 'event')} applied"
        f"{' after a resumption' if result.resumed else ''} in "
        f"{result.elapsed_s:.1f} s ({rate:,.0f} records/s)"
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[ReplayProgress], None]]:
    """Show the progress on a terminal during the block; remove it afterwards."""
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    live = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    task = live.add_task("starting", total=None, rate="", left="")

    def show(progress: ReplayProgress) -> None:
        left = "" if progress.left_s is None else f"{progress.left_s:.0f} s left"
        live.update(
            task,
            description=f"{progress.phase} {progress.read_model}",
            completed=progress.records,
            total=progress.records + progress.remaining,
            rate=f"{progress.rate:,.0f}/s",
            left=left,
        )

    with live:
        yield show


def _start(text: str) -> Start:
    return "beginning" if text == "beginning" else _place(text, "beginning")


def _end(text: str) -> End:
    return "live" if text == "live" else _place(text, "live")


def _place(text: str, word: str) -> AtOffset | AtTime:
    """Return an offset or a time.

    Raises:
        click.BadParameter: The text is neither.
    """
    from tracing.replay import AtOffset, AtTime

    if _NUMBER.fullmatch(text.strip()):
        return AtOffset(int(text))
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return AtTime(int(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither `{word}` nor an offset, such as 1200, nor a time, such as "
            "2026-11-23T03:00"
        ) from None
