"""The commands `dlq list` and `show`, and the group of all of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.dlq_output import (
    check_complete,
    letter_document,
    letter_line,
    print_document,
    print_summary,
    summary_document,
    trouble,
)
from tracing.cli.dlq_purge import purge_command
from tracing.cli.dlq_replay import replay_command
from tracing.cli.dlq_skip import skip_command
from tracing.cli.option_types import LetterName
from tracing.cli.options import chosen, connecting, connection_of, json_option, naming, selecting
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
    help="Where a trace is seen; {trace_id} stands for its id (or PIPELINE_TRACING_TRACE_URL).",
)


@click.group()
def dlq() -> None:
    """Look into dead letters, send them back, or delete them."""


dlq.add_command(replay_command)
dlq.add_command(purge_command)
dlq.add_command(skip_command)


@dlq.command("list")
@connecting
@selecting
@click.option("--each", is_flag=True, help="One line for each letter.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many letters, with --each.")
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

    Those that clients cannot read, and those that are not replayed, are named with the reason.
    A topic or partition that cannot be read leaves the others: it is named, and the exit code
    is 1.
    """
    if limit is not None and not each:
        raise click.UsageError("--limit goes with --each: groups are always counted in full")
    connection = connection_of(options, timeout)

    async def run() -> None:
        topics, selection, origins = await chosen(connection, **options)
        troubles: Troubles = {}
        found = selected(connection, topics, selection, timeout, troubles)
        if each:
            async with aclosing(limited(found, limit)) as few:
                number = await _print_each(few, trace_url, origins, as_json=as_json)
            check_complete(troubles, read=bool(number))
            return
        summary = Summary()
        with counting("letters read") as read:
            async for letter in found:
                summary.add(letter, origins.refusal(letter))
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
@click.argument("letter_id", metavar="ID", type=LetterName())
@connecting
@naming
@click.option(
    "--payload", is_flag=True, help="Show key and value, too; they may hold personal data."
)
@json_option
@_trace_url
def show_command(
    *,
    letter_id: LetterId,
    payload: bool,
    as_json: bool,
    trace_url: str | None,
    timeout: float,
    names: DeadLetterNames,
    suffix: str | None,
    **options: Any,
) -> None:
    """Show the dead letter ID, which is TOPIC/PARTITION/OFFSET: why it failed, and its trace."""
    del suffix  # One letter needs no search; the option is there for those who give it always.
    connection = connection_of(options, timeout)

    async def run() -> tuple[Letter | None, Origins]:
        found = letters(connection, [letter_id.topic], only=letter_id, timeout_s=timeout)
        async with aclosing(found):
            letter = await anext(found, None)
        # Whoever names a letter has seen where it says that it comes from.
        named = () if letter is None or letter.provenance is None else (letter.provenance.topic,)
        topics = await topics_of(connection)
        return letter, Origins(topics, template=names.template, named=named)

    letter, origins = asyncio.run(run())
    if letter is None:
        raise click.ClickException(f"there is no letter {letter_id}; it may have been purged")
    refusal = origins.refusal(letter)
    document = letter_document(letter, trace_url=trace_url, payload=payload, refusal=refusal)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_document(document, console())


async def _print_each(
    few: AsyncGenerator[Letter, None], trace_url: str | None, origins: Origins, *, as_json: bool
) -> int:
    """Print letters while they come; returns how many."""
    number = 0
    if not as_json:
        async for letter in few:
            click.echo(letter_line(letter, origins.refusal(letter)))
            number += 1
        return number
    # One document, and yet never all letters in memory.
    start = "["
    async for letter in few:
        document = letter_document(letter, trace_url=trace_url, refusal=origins.refusal(letter))
        click.echo(f"{start}\n  {json.dumps(document)}", nl=False)
        start = ","
        number += 1
    click.echo("[]" if start == "[" else "\n]")
    return number
