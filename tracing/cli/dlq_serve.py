"""The command `dlq serve`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.cli.attempts import forget_attempts
from tracing.cli.dlq_sending import replay_telemetry
from tracing.cli.option_types import Positive
from tracing.cli.options import (
    connecting,
    connection_of,
    formats_of,
    naming,
    recognising,
    replay_topic_option,
    trace_url_option,
)
from tracing.core.extras import missing_extra

if TYPE_CHECKING:
    from tracing.delivery.dead_letter_names import DeadLetterNames

_PORT: Final = 8430


@click.command("serve")
@connecting
@naming
@recognising
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=_PORT,
    show_default=True,
    help="The port to listen on; 0 for a free one.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Listen on a --host that other machines can reach. There is no TLS: who sees the traffic "
    "can use the server.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A name or an address under which browsers reach this machine, without port; repeatable. "
    "It is needed for a --host that stands for all addresses, such as 0.0.0.0.",
)
@click.option(
    "--allow-replay",
    is_flag=True,
    help="Let pages replay dead letters, after a dry run; without it, the server only reads.",
)
@click.option(
    "--show-payload",
    is_flag=True,
    help="Let pages show key, value, stack trace and all headers, which may hold personal data.",
)
@click.option(
    "--read-time",
    type=Positive(),
    default=10.0,
    show_default=True,
    help="Seconds to read for one page; a page says if that was not enough.",
)
@replay_topic_option
@trace_url_option
def serve_command(
    *,
    host: str,
    port: int,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    allow_replay: bool,
    show_payload: bool,
    read_time: float,
    replay_topic: str,
    trace_url: str | None,
    timeout: float,
    names: DeadLetterNames,
    suffix: str | None,
    **options: Any,
) -> None:
    """Show dead letters in a browser, until Ctrl-C.

    The server is for one operator on this machine. Open the address that it prints: a token in it
    opens a session in that browser alone, until the server ends.

    It only reads, unless --allow-replay is set. Then a page shows in a dry run which dead letters
    would go where, and sends just these once that is confirmed. Keys and values are shown on
    request, and only with --show-payload.
    """
    from tracing.cli.dlq_chosen import is_dead_letter_topic

    try:
        from tracing.dlq_web.app import application  # the extra may be missing
        from tracing.dlq_web.guard import Secrets
        from tracing.dlq_web.reading import Reading
        from tracing.dlq_web.replay_plans import Plans
        from tracing.dlq_web.server import is_loopback, listening, names_of, serve
        from tracing.dlq_web.settings import Settings
    except ModuleNotFoundError as error:
        raise click.ClickException(str(missing_extra("dlq serve", "web", error))) from error

    if not is_loopback(host) and not allow_remote:
        raise click.UsageError(
            f"{host} can be reached from other machines: listen on 127.0.0.1 and use an SSH tunnel "
            "or kubectl port-forward, or add --allow-remote"
        )
    formats = formats_of(options)
    secrets = Secrets()
    connection = connection_of(options, timeout)
    with ExitStack() as stack:
        telemetry = stack.enter_context(replay_telemetry()) if allow_replay else None
        settings = Settings(
            connection=connection,
            is_dead_letter_topic=lambda topic: is_dead_letter_topic(topic, names, suffix, formats),
            explain=_explain,
            template=names.template,
            formats=formats,
            replay_topic=replay_topic,
            timeout_s=timeout,
            read_s=read_time,
            trace_url=trace_url,
            show_payload=show_payload,
            telemetry=telemetry,
        )
        try:
            listener = stack.enter_context(listening(host, port))
        except OSError as error:
            raise click.ClickException(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another --port, or 0"
            ) from error
        try:
            hosts = names_of(listener, host, allowed_hosts)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        click.echo(
            f"dead letters of {connection.bootstrap_servers}, until Ctrl-C: "
            f"http://{hosts[0]}:{listener.getsockname()[1]}{secrets.entry}",
            err=True,
        )
        plans = Plans(settings, Reading(settings))

        def is_replaying() -> bool:
            if plans.running:
                click.echo("a replay is under way: waiting up to 10 s for its end", err=True)
            return plans.running

        serve(application(settings, secrets, frozenset(hosts), plans), listener, is_replaying)


def _explain(error: Exception) -> str | None:
    from tracing.cli.failures import explained

    explanation = explained(error)
    # The next failure may have other reasons.
    forget_attempts()
    return None if explanation is None else explanation.format_message()
