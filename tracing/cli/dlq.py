"""The commands `dlq list` and `dlq show`, and the group `dlq`."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.dlq_output import (
    check_complete,
    dead_letter_document,
    dead_letter_line,
    print_document,
    print_summary,
    summary_document,
    trouble,
)
from tracing.cli.dlq_purge import purge_command
from tracing.cli.dlq_replay import replay_command
from tracing.cli.dlq_skip import skip_command
from tracing.cli.option_types import DeadLetterName
from tracing.cli.options import (
    chosen,
    connecting,
    connection_of,
    formats_of,
    json_option,
    naming,
    recognising,
    selecting,
)
from tracing.cli.terminal import console, counting
from tracing.dlq.origins import Origins
from tracing.dlq.reading import letters, topics_of
from tracing.dlq.selection import limited, selected
from tracing.dlq.summary import Summary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId, Troubles
    from tracing.dlq.reading import Letter

_trace_url = click.option(
    "--trace-url",
    envvar="PIPELINE_TRACING_TRACE_URL",
    metavar="URL",
    help="The URL of a trace, with {trace_id} for its id (or PIPELINE_TRACING_TRACE_URL).",
)


@click.group()
def dlq() -> None:
    """Inspect, replay, purge and skip dead letters."""


dlq.add_command(replay_command)
dlq.add_command(purge_command)
dlq.add_command(skip_command)


@dlq.command("list")
@connecting
@selecting
@click.option("--each", is_flag=True, help="One line for each dead letter.")
@click.option("--limit", type=click.IntRange(min=1), help="Print at most this many; needs --each.")
@json_option
@_trace_url
def list_command(
    *,
    each: bool,
    limit: int | None,
    as_json: bool,
    trace_url: str | None,
    timeout: float,
    **options: Any,
) -> None:
    """List dead letters by topic, group and error.

    Dead letters that clients cannot read, or that a replay refuses, are listed with the reason.
    If a topic or partition cannot be read, the others are listed, and the exit code is 1.
    """
    if limit is not None and not each:
        raise click.UsageError("--limit needs --each: groups are always counted in full")
    connection = connection_of(options, timeout)
    formats = formats_of(options)

    async def run() -> None:
        topics, selection, origins = await chosen(connection, formats=formats, **options)
        troubles: Troubles = {}
        dead_letters = selected(connection, topics, selection, timeout, troubles, formats)
        if each:
            async with aclosing(limited(dead_letters, limit)) as few:
                number = await _print_each(few, trace_url, origins, as_json=as_json)
            check_complete(troubles, read=bool(number))
            return
        summary = Summary()
        with counting("dead letters read") as read:
            async for dead_letter in dead_letters:
                summary.add(dead_letter, origins.refusal(dead_letter))
                read(1)
        if as_json:
            unread = {name: trouble(error) for name, error in troubles.items()}
            document = {**summary_document(summary), "unread": unread}
            click.echo(json.dumps(document, indent=2))
        elif summary.read or not troubles:
            print_summary(summary, console())
        check_complete(troubles, read=bool(summary.read) or as_json)

    asyncio.run(run())


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
@json_option
@_trace_url
def show_command(
    *,
    dead_letter_id: LetterId,
    payload: bool,
    stacktrace: bool,
    as_json: bool,
    trace_url: str | None,
    timeout: float,
    names: DeadLetterNames,
    suffix: str | None,
    **options: Any,
) -> None:
    """Show why the dead letter ID (TOPIC/PARTITION/OFFSET) failed, and its trace."""
    del suffix  # Not needed for one dead letter; accepted for users who always set it.
    connection = connection_of(options, timeout)
    formats = formats_of(options)

    async def run() -> tuple[Letter | None, Origins]:
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
        topics = await topics_of(connection)
        return dead_letter, Origins(topics, template=names.template, named=named, formats=formats)

    dead_letter, origins = asyncio.run(run())
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
    )
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_document(document, console())


async def _print_each(
    few: AsyncGenerator[Letter, None], trace_url: str | None, origins: Origins, *, as_json: bool
) -> int:
    """Print dead letters as they arrive, and return their number."""
    number = 0
    if not as_json:
        async for dead_letter in few:
            click.echo(dead_letter_line(dead_letter, origins.refusal(dead_letter)))
            number += 1
        return number
    # One JSON document, without holding all dead letters in memory.
    start = "["
    async for dead_letter in few:
        document = dead_letter_document(
            dead_letter, trace_url=trace_url, refusal=origins.refusal(dead_letter)
        )
        click.echo(f"{start}\n  {json.dumps(document)}", nl=False)
        start = ","
        number += 1
    click.echo("[]" if start == "[" else "\n]")
    return number
