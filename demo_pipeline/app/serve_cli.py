"""The command `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from demo_pipeline.app.logs import console_logs
from demo_pipeline.app.options import LazyChoice, service_options
from demo_pipeline.app.stopping import until_stopped
from demo_pipeline.runtime.errors import UsageError

if TYPE_CHECKING:
    from demo_pipeline.app.bootstrap import RunningService
    from demo_pipeline.app.logs import LogLevels


@click.command("serve")
@click.argument("service", metavar="SERVICE", type=LazyChoice("demo_pipeline.services:SERVICES"))
@service_options
def serve_command(
    *, service: str, bootstrap_servers: str | None, http_port: int, log_levels: LogLevels
) -> None:
    """Run one SERVICE until Ctrl-C or SIGTERM.

    The shop needs all of orders, orchestrator, inventory, payment, shipping, notification,
    analytics and observer.

    The database is the file SERVICE.sqlite3 in the current folder, unless the environment
    variable SERVICE_DATABASE_URL (such as ORDERS_DATABASE_URL) names another one. Schemas are those
    of this package, unless SCHEMA_REGISTRY_URL names a registry.
    """
    from demo_pipeline.app.serve import ServeOptions, serve

    if not bootstrap_servers:
        raise UsageError(
            "serve needs a Kafka cluster: use --bootstrap-servers HOST:PORT or set "
            "KAFKA_BOOTSTRAP_SERVERS"
        )

    def ready(running: RunningService) -> None:
        where = f" and listens on {running.url}" if running.url else ""
        click.echo(f"{service} reads {', '.join(running.service.topics)}{where}")

    with console_logs(log_levels):
        until_stopped(serve(ServeOptions(service, bootstrap_servers, http_port), ready))
