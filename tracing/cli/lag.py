"""The command `lag`."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.lag_check import LagCheck
from tracing.cli.lag_measure import USUAL_S, Measuring
from tracing.cli.option_types import Duration, NamePattern, Positive
from tracing.cli.options import (
    connecting,
    connection_of,
    formats_of,
    json_option,
    recognising,
)
from tracing.cli.terminal import console, fail
from tracing.core.environment import service_name
from tracing.core.times import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracing.lag.model import Sweep
    from tracing.lag.monitor import LagMonitor
    from tracing.telemetry import Telemetry

_SERVICE = "pipeline-lag-monitor"
_INTERVAL_S = 5.0


@click.command("lag")
@connecting
@click.option("--group", "groups", multiple=True, help="Only this group; repeatable.")
@click.option("--topic", "topics", multiple=True, help="Only this topic; repeatable.")
@click.option("--exclude-group", "exclude_groups", type=NamePattern(), multiple=True,
              help="No group whose whole name matches this regular expression, for example "
              "'console-consumer-.*'; repeatable.")  # fmt: skip
@click.option("--exclude-topic", "exclude_topics", type=NamePattern(), multiple=True,
              help="No topic whose whole name matches this regular expression; "
              "repeatable.")  # fmt: skip
@click.option("--command-topic", "command_topics", type=NamePattern(), multiple=True,
              help="Topics whose whole name matches this regular expression, for example "
              "'.*[.]commands', hold commands: more than one group that reads such a topic is "
              "reported; repeatable.")  # fmt: skip
@click.option("--each", is_flag=True, help="One line for each partition.")
@click.option("--watch", type=Positive(), metavar="SECONDS", help="Measure again at this interval.")
@click.option("--for", "for_s", type=click.FloatRange(0, 86_400), metavar="SECONDS",
              help="Measure for this long, and print one result. A status takes several "
              f"measurements, so a table takes up to {USUAL_S:g} seconds by default, while --json "
              "and --fail-if-over measure once.")  # fmt: skip
@click.option("--window", type=Positive(), metavar="SECONDS",
              help="Judge groups over this time; by default 30, but at least six times "
              "--watch.")  # fmt: skip
@click.option("--no-read", is_flag=True, help="Read no records: times are then estimates.")
@click.option("--daemon", is_flag=True,
              help="Print nothing and export metrics by OTLP until SIGTERM, as configured by the "
              "variables OTEL_*. Measures every 5 seconds, or as --watch says.")  # fmt: skip
@click.option(
    "--by-topic", is_flag=True, help="With --daemon: one series for each topic, not partition."
)
@click.option("--fail-if-over", type=Duration(),
              help="For cron and CI: exit code 1 if the oldest record of any group has waited for "
              "longer, such as 60s or 15m, or if that is not known.")  # fmt: skip
@recognising
@json_option
def lag_command(
    *,
    groups: Sequence[str],
    topics: Sequence[str],
    exclude_groups: Sequence[str],
    exclude_topics: Sequence[str],
    command_topics: Sequence[str],
    each: bool,
    watch: float | None,
    for_s: float | None,
    window: float | None,
    no_read: bool,
    daemon: bool,
    by_topic: bool,
    fail_if_over: float | None,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Show the lag of consumer groups, in records and in seconds, and their status.

    With the rights to describe configurations and the cluster, it also shows how much of the
    retention the oldest record has used, and, with --watch, the rates, the hot partitions and the
    time until a group has caught up.

    With --json and --watch, each line is a JSON document. Missing answers or permissions, records
    that clients cannot read, and commands with several readers are shown as remarks; the exit code
    is still 0, unless --fail-if-over is set.
    """
    from tracing.lag.monitor import LagMonitor

    if daemon and (as_json or each):
        raise click.UsageError("--daemon prints nothing: omit --json and --each")
    if by_topic and not daemon:
        raise click.UsageError("--by-topic needs --daemon")
    once = watch is None and not daemon
    if fail_if_over is not None and not once:
        raise click.UsageError("--fail-if-over measures once: omit --watch and --daemon")
    measuring = Measuring.of(
        for_s, once=once, at_once_by_default=as_json or fail_if_over is not None
    )
    interval_s = watch or measuring.interval_s or _INTERVAL_S
    if window is not None:
        _check_window(window, interval_s, once=once)
    connection = connection_of(options, timeout)
    formats = formats_of(options)

    def monitor(telemetry: Telemetry | None = None) -> LagMonitor:
        try:
            return LagMonitor(
                connection,
                telemetry,
                interval_s=interval_s,
                window_s=window or measuring.window_s,
                timeout_s=timeout,
                read=not no_read,
                groups=groups,
                topics=topics,
                exclude_groups=exclude_groups,
                exclude_topics=exclude_topics,
                command_topics=command_topics,
                formats=formats,
                partitions=not by_topic,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    show = _Show(as_json=as_json, each=each, again=not once, limit_s=fail_if_over)
    if daemon:
        with _exporting() as telemetry:
            asyncio.run(_serve(monitor(telemetry)))
    else:
        with _remarks_unlogged():
            asyncio.run(measuring.show(monitor(), groups, topics, show))
    if show.check is not None and not show.check.passed:
        fail(str(show.check), quiet=as_json)


class _Show:
    """Prints sweeps, and checks them against a limit.

    Args:
        as_json: Whether to print JSON.
        each: Whether a table has a line for each partition.
        again: Whether more sweeps follow.
        limit_s: The limit, in seconds; `None` to check nothing.

    Attributes:
        check: The result for the last sweep.
    """

    def __init__(self, *, as_json: bool, each: bool, again: bool, limit_s: float | None) -> None:
        self._as_json = as_json
        self._each = each
        self._again = again
        self._limit_s = limit_s
        self.check: LagCheck | None = None

    def __call__(self, sweep: Sweep) -> None:
        from tracing.cli.lag_output import document, print_sweep

        if self._limit_s is not None:
            self.check = LagCheck.of(sweep, self._limit_s)
        if self._as_json:
            more = {} if self.check is None else {"check": self.check.document()}
            indent = None if self._again else 2
            click.echo(json.dumps({**document(sweep), **more}, indent=indent))
            return
        output = console()
        if self._again:
            # Replaces the last table on a terminal; a file gets one after another.
            output.clear()
            output.print(iso_time(int(sweep.at * 1000)), highlight=False)
        print_sweep(sweep, output, each=self._each)


def _check_window(window_s: float, interval_s: float, *, once: bool) -> None:
    """Check the length of the window.

    Raises:
        click.UsageError: It is too short, or there is only one measurement.
    """
    if once:
        raise click.UsageError("--window needs --watch or --daemon: one measurement has no window")
    if window_s < 2 * interval_s:
        raise click.UsageError(f"--window must be at least twice --watch, {2 * interval_s:g}")


@contextmanager
def _remarks_unlogged() -> Iterator[None]:
    """Log no remarks, which the output shows."""
    from tracing.lag.monitor import REMARKS

    logger = logging.getLogger(REMARKS)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _exporting() -> Iterator[Telemetry]:
    try:
        from tracing import otlp  # an extra that only this option needs
    except ImportError as missing:
        raise click.ClickException(str(missing)) from None
    try:
        providers = otlp.configure(service_name() or _SERVICE)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        yield providers.telemetry("lag-monitor")
    finally:
        providers.shutdown()


async def _serve(monitor: LagMonitor) -> None:
    """Sweep until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async def sweep() -> None:
        async with monitor, aclosing(monitor.sweeps()) as sweeps:
            async for _ in sweeps:
                pass

    working = asyncio.ensure_future(sweep())
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
