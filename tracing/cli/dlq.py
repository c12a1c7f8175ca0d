"""The command `dlq show`, and the group `dlq`."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.dlq_list import list_command
from tracing.cli.dlq_output import dead_letter_document, print_document
from tracing.cli.dlq_purge import purge_command
from tracing.cli.dlq_replay import replay_command
from tracing.cli.dlq_skip import skip_command
from tracing.cli.dlq_state import replay_topic_option
from tracing.cli.option_types import DeadLetterName
from tracing.cli.options import (
    connecting,
    connection_of,
    formats_of,
    json_option,
    naming,
    recognising,
    trace_url_option,
)
from tracing.cli.terminal import console
from tracing.dlq.origins import Origins
from tracing.dlq.reading import letters, topics_of
from tracing.dlq.replay_log import ReplayLog

if TYPE_CHECKING:
    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayHistory


@click.group()
def dlq() -> None:
    """Inspect, replay, purge and skip dead letters."""


dlq.add_command(list_command)
dlq.add_command(replay_command)
dlq.add_command(purge_command)
dlq.add_command(skip_command)


@dlq.command("show")
@click.argument("dead_letter_id", metavar="ID", type=DeadLetterName())
@connecting
@naming
@recognising
@click.option(
    "--payload", is_flag=True, help="Also show key and value, which may hold personal data."
)
@click.option(
    "--stacktrace",
    is_flag=True,
    help="Also show the stack trace; those of other systems may hold personal data.",
)
@replay_topic_option
@json_option
@trace_url_option
def show_command(
    *,
    dead_letter_id: LetterId,
    payload: bool,
    stacktrace: bool,
    replay_topic: str,
    as_json: bool,
    trace_url: str | None,
    timeout: float,
    names: DeadLetterNames,
    suffix: str | None,
    **options: Any,
) -> None:
    """Show why the dead letter ID (TOPIC/PARTITION/OFFSET) failed, and its trace.

    It also shows whether the dead letter was replayed.
    """
    del suffix  # Not needed for one dead letter; accepted for users who always set it.
    connection = connection_of(options, timeout)
    formats = formats_of(options)

    async def run() -> tuple[Letter | None, Origins, ReplayHistory]:
        reading = letters(
            connection,
            [dead_letter_id.topic],
            only=dead_letter_id,
            timeout_s=timeout,
            formats=formats,
        )
        async with aclosing(reading):
            dead_letter = await anext(reading, None)
        # A user who names a dead letter has seen which topic it names.
        named = (
            ()
            if dead_letter is None or dead_letter.provenance is None
            else (dead_letter.provenance.topic,)
        )
        topics = await topics_of(connection) - {replay_topic}
        origins = Origins(topics, template=names.template, named=named, formats=formats)
        async with ReplayLog(
            connection, replay_topic, dead_letter_topics=[dead_letter_id.topic], timeout_s=timeout
        ) as log:
            return dead_letter, origins, log.history

    dead_letter, origins, history = asyncio.run(run())
    if dead_letter is None:
        raise click.ClickException(
            f"there is no dead letter {dead_letter_id}; it may have been purged"
        )
    if dead_letter.provenance is None and dead_letter.problem is None:
        raise click.ClickException(
            f"{dead_letter_id} is no dead letter: neither its headers nor the name of its topic "
            "say which topic it came from. If they do in a way of your own, describe it with "
            "--origin-header topic=HEADER or --dead-letter-pattern REGEX"
        )
    document = dead_letter_document(
        dead_letter,
        trace_url=trace_url,
        payload=payload,
        stacktrace=stacktrace,
        refusal=origins.refusal(dead_letter),
        status=history.status(dead_letter),
    )
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_document(document, console())
