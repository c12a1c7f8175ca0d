"""The commands `run` and `serve`, beside those that look at sagas."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click
from rich.console import Console

from demo_pipeline.app.load import Load
from demo_pipeline.app.logs import console_logs, parse_log_levels
from demo_pipeline.app.progress import live_progress
from demo_pipeline.app.report_folder import writable_folder
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.app.run_record import RunRecord
from demo_pipeline.app.saga_cli import saga_group
from demo_pipeline.app.serve import ServeOptions, serve
from demo_pipeline.broker import BrokerError
from demo_pipeline.report import check_traces, print_summary, write_report
from demo_pipeline.runtime.errors import DemoError, StoppedError, UsageError
from demo_pipeline.runtime.scenarios import SCENARIOS, STEADY
from demo_pipeline.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from demo_pipeline.app.bootstrap import RunningService
    from demo_pipeline.app.logs import LogLevels
    from demo_pipeline.app.run import RunOutcome
    from demo_pipeline.report import RunResult

Result = TypeVar("Result")

_SHOWN_PROBLEMS: Final = 10
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:,/@]+)(?::([0-9]{1,5}))?")
_MAX_PORT: Final = 65_535


def _shared(command: Callable[..., None]) -> Callable[..., None]:
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


@click.group()
def cli() -> None:
    """A shop of several services that shows what pipeline-tracing sees."""


cli.add_command(saga_group)


@cli.command("run")
@click.option("--orders", type=click.IntRange(min=1), default=50, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    # What two cores carry with all services in one process; faster, orders mostly wait for CPU.
    default=5.0,
    show_default=True,
    help="Orders per second.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed makes the same orders."
)
@click.option(
    "--kafka",
    is_flag=True,
    help="Run on Apache Kafka, started for the run; it needs Java 17 and, once, Maven.",
)
@click.option(
    "--scenario",
    type=click.Choice(tuple(SCENARIOS)),
    default=STEADY,
    show_default=True,
    help=" ".join(f"{name}: {found.story}" for name, found in SCENARIOS.items()),
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write report.html, traces.jsonl and metrics.jsonl there.",
)
@click.option(
    "--databases",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the services' databases there, to look at with `saga list`.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that placed orders have to reach their end; where answers take long because "
    "the machine is busy, proportionally more.",
)
@_shared
def run_command(
    *,
    orders: int,
    rate: float,
    seed: int,
    kafka: bool,
    scenario: str,
    report: Path | None,
    databases: Path | None,
    timeout: float,
    bootstrap_servers: str | None,
    http_port: int,
    log_levels: LogLevels,
) -> None:
    """Run all services, place orders, and show where their time went.

    Without a cluster to use, a small broker of its own is started for the run.
    """
    if kafka and bootstrap_servers:
        raise UsageError(
            "--kafka starts a cluster and --bootstrap-servers (or KAFKA_BOOTSTRAP_SERVERS) names "
            "one: choose one of the two"
        )
    for folder in (report, databases):
        if folder is not None:
            writable_folder(folder)
    options = RunOptions(
        load=Load(orders=orders, rate=rate, seed=seed),
        scenario=scenario,
        bootstrap_servers=bootstrap_servers or None,
        kafka=kafka,
        http_port=http_port,
        timeout_s=timeout,
        databases=databases,
    )
    record = RunRecord(scenario)
    try:
        with console_logs(log_levels):
            outcome = _until_stopped(_run(options, record))
    except UsageError:
        raise
    except (DemoError, BrokerError) as error:
        if report is not None:
            # What there is of it is worth seeing, and an older report must not pass for its own.
            _show(record.result([_why(error)]), report)
        raise
    _show(outcome.result, report)
    problems = (*outcome.problems, *check_traces(outcome.result))
    if problems:
        raise DemoError(_listed(problems))


@cli.command("serve")
@click.argument("service", metavar="SERVICE", type=click.Choice(tuple(SERVICES)))
@_shared
def serve_command(
    *, service: str, bootstrap_servers: str | None, http_port: int, log_levels: LogLevels
) -> None:
    """Run one SERVICE until Ctrl-C or SIGTERM.

    The shop takes all of orders, orchestrator, inventory, payment, shipping, notification,
    analytics and observer.

    Its database is the file SERVICE.sqlite3 in the current folder, or what the environment
    variable SERVICE_DATABASE_URL (as in ORDERS_DATABASE_URL) names.
    """
    if not bootstrap_servers:
        raise UsageError(
            "serve needs a Kafka cluster: give --bootstrap-servers HOST:PORT or set "
            "KAFKA_BOOTSTRAP_SERVERS"
        )

    def ready(running: RunningService) -> None:
        where = f" and listens on {running.url}" if running.url else ""
        click.echo(f"{service} reads {', '.join(running.service.topics)}{where}")

    with console_logs(log_levels):
        _until_stopped(serve(ServeOptions(service, bootstrap_servers, http_port), ready))


def _until_stopped(work: Coroutine[None, None, Result]) -> Result:
    try:
        return asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise StoppedError("stopped") from None


async def _run(options: RunOptions, record: RunRecord) -> RunOutcome:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    if task is not None:
        # Ctrl-C is turned into the same by asyncio itself.
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        with live_progress(Console(stderr=True), options.load.orders) as progress:
            return await run(options, progress, record)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


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


def _why(error: Exception) -> str:
    if isinstance(error, StoppedError):
        return "the run was stopped before all its orders had reached their end"
    return str(error)


def _show(result: RunResult, report: Path | None) -> None:
    print_summary(result, Console())
    if report is not None:
        for file in write_report(result, report):
            click.echo(f"wrote {file}")


def _listed(problems: tuple[str, ...]) -> str:
    more = len(problems) - _SHOWN_PROBLEMS
    lines = [*problems[:_SHOWN_PROBLEMS], *([f"... and {more} more"] if more > 0 else [])]
    return "\n".join(lines)
