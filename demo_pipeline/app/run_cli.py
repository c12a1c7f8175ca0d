"""The command `run`."""

from __future__ import annotations

import asyncio
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from demo_pipeline.app.logs import console_logs
from demo_pipeline.app.options import check_writable, service_options
from demo_pipeline.app.stopping import until_stopped
from demo_pipeline.runtime.errors import BrokerError, DemoError, StoppedError, UsageError
from demo_pipeline.runtime.scenarios import SCENARIOS, STEADY

if TYPE_CHECKING:
    from demo_pipeline.app.logs import LogLevels
    from demo_pipeline.app.run import RunOptions, RunOutcome
    from demo_pipeline.app.run_record import RunRecord
    from demo_pipeline.report import RunResult

_SHOWN_PROBLEMS: Final = 10


def _by_scenario(field: str) -> str:
    """Return the defaults of an option that depend on the scenario, for its help."""
    usual = getattr(SCENARIOS[STEADY], field)
    values = {name: getattr(each, field) for name, each in SCENARIOS.items()}
    others = [f"{name}: {value:g}" for name, value in values.items() if value != usual]
    return "; ".join([f"{usual:g}", *others])


@click.command("run")
@click.option(
    "--orders",
    type=click.IntRange(min=1),
    show_default=_by_scenario("orders"),
    help="Number of orders.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    show_default=_by_scenario("rate"),
    help="Orders per second; in a burst, ten times as many.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed gives the same orders."
)
@click.option(
    "--kafka",
    is_flag=True,
    help="Start Apache Kafka for the run; this needs Java 17 and, the first time, Maven.",
)
@click.option(
    "--scenario",
    type=click.Choice(tuple(SCENARIOS)),
    default=STEADY,
    show_default=True,
    help=" ".join(f"{name}: {each.described}" for name, each in SCENARIOS.items()),
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write report.html, traces.jsonl and metrics.jsonl to this folder.",
)
@click.option(
    "--name-users",
    is_flag=True,
    help="With --report: name the customer of each order in report.html, and find orders by "
    "`user:`. These are personal data: telemetry never has them.",
)
@click.option(
    "--tables",
    is_flag=True,
    help="Print the whole waterfall, and below it all tables: hops, lag, sagas, deliveries.",
)
@click.option(
    "--databases",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the services' databases in this folder, for `saga list`, `stock list` and "
    "the commands beside them.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds to wait for the placed orders to end; proportionally more on a busy machine.",
)
@click.option(
    "--views-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port on 127.0.0.1 of the views, as in /views/orders.  [default: a free port]",
)
@service_options
def run_command(
    *,
    orders: int | None,
    rate: float | None,
    seed: int,
    kafka: bool,
    scenario: str,
    report: Path | None,
    name_users: bool,
    tables: bool,
    databases: Path | None,
    timeout: float,
    views_port: int,
    bootstrap_servers: str | None,
    http_port: int,
    log_levels: LogLevels,
) -> None:
    """Run all services, place orders, and show where their time went.

    Without --bootstrap-servers or --kafka, a small embedded broker is started for the run. Schemas
    are those of this package, unless the environment variable SCHEMA_REGISTRY_URL names a registry.
    """
    from demo_pipeline.app.load import Load
    from demo_pipeline.app.run import RunOptions
    from demo_pipeline.app.run_record import RunRecord
    from demo_pipeline.report import check_traces

    if kafka and bootstrap_servers:
        raise UsageError(
            "--kafka starts a cluster, --bootstrap-servers (or KAFKA_BOOTSTRAP_SERVERS) names an "
            "existing one: use one of the two"
        )
    if name_users and report is None:
        raise UsageError("--name-users names customers in the report: add --report DIR")
    for option, folder in (("--report", report), ("--databases", databases)):
        if folder is not None:
            check_writable(folder, option)
    story = SCENARIOS[scenario]
    options = RunOptions(
        load=Load(orders=orders or story.orders, rate=rate or story.rate, seed=seed),
        scenario=scenario,
        bootstrap_servers=bootstrap_servers or None,
        kafka=kafka,
        http_port=http_port,
        timeout_s=timeout,
        databases=databases,
        views_port=views_port,
        name_users=name_users,
    )
    record = RunRecord(scenario)
    try:
        # Only the page shows them.
        kept = record.logs.kept() if report is not None else nullcontext()
        with console_logs(log_levels), kept:
            outcome = until_stopped(_run(options, record))
    except UsageError:
        raise
    except (DemoError, BrokerError) as error:
        if report is not None:
            # A partial report is useful, and an older one must not be mistaken for it.
            _show(record.result([_why(error)]), report, tables=tables)
        raise
    _show(outcome.result, report, tables=tables)
    problems = (*outcome.problems, *check_traces(outcome.result))
    if problems:
        raise DemoError(_listed(problems))


async def _run(options: RunOptions, record: RunRecord) -> RunOutcome:
    from rich.console import Console

    from demo_pipeline.app.progress import live_progress
    from demo_pipeline.app.run import run

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    if task is not None:
        # asyncio does the same on Ctrl-C.
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        with live_progress(Console(stderr=True), options.load.orders) as progress:
            return await run(options, progress, record)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _why(error: Exception) -> str:
    if isinstance(error, StoppedError):
        return "the run was stopped before all of its orders had ended"
    return str(error)


def _show(result: RunResult, report: Path | None, *, tables: bool) -> None:
    from rich.console import Console

    from demo_pipeline.report import print_summary, write_report

    print_summary(result, Console(), tables=tables)
    if report is not None:
        for file in write_report(result, report):
            click.echo(f"wrote {file}")


def _listed(problems: tuple[str, ...]) -> str:
    more = len(problems) - _SHOWN_PROBLEMS
    lines = [*problems[:_SHOWN_PROBLEMS], *([f"... and {more} more"] if more > 0 else [])]
    return "\n".join(lines)
