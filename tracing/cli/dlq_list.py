"""The command `dlq list`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.options import (
    connecting,
    connection_of,
    formats_of,
    json_option,
    not_replayed_option,
    replay_topic_option,
    selecting,
    trace_url_option,
)
from tracing.cli.terminal import fail
from tracing.core.text import counted

if TYPE_CHECKING:
    from tracing.dlq.places import Troubles


@click.command("list")
@connecting
@selecting
@click.option("--each", is_flag=True, help="One line for each dead letter.")
@click.option("--limit", type=click.IntRange(min=1), help="Print at most this many; needs --each.")
@not_replayed_option
@click.option(
    "--fail-if-any",
    is_flag=True,
    help="For cron and CI: exit code 1 if any selected dead letter is not known to have been "
    "replayed.",
)
@replay_topic_option
@json_option
@trace_url_option
def list_command(
    *,
    each: bool,
    limit: int | None,
    not_replayed: bool,
    fail_if_any: bool,
    replay_topic: str,
    as_json: bool,
    trace_url: str | None,
    timeout: float,
    **options: Any,
) -> None:
    """List dead letters by topic, group and error, and which of them were replayed.

    A dead letter is perhaps replayed if a replay began to send it and was killed, or is under way.

    Dead letters that clients cannot read, or that a replay refuses, are listed with the reason.
    If a topic or partition cannot be read, the others are listed, and the exit code is 1. If a
    topic of --topic does not exist, and no dead letter came from it, the exit code is 2.
    """
    from tracing.cli.dlq_chosen import chosen
    from tracing.cli.dlq_listing import Format, Listing
    from tracing.cli.dlq_state import note_missing
    from tracing.dlq.replay_log import ReplayLog
    from tracing.dlq.selection import selected, unreplayed

    if limit is not None and not each:
        raise click.UsageError("--limit needs --each: groups are always counted in full")
    if limit is not None and fail_if_any:
        raise click.UsageError("--fail-if-any looks at all selected dead letters: omit --limit")
    connection = connection_of(options, timeout)
    formats = formats_of(options)
    format_ = Format(limit, trace_url, as_json)

    async def run() -> int:
        topics, selection, origins, sources = await chosen(
            connection, formats=formats, replay_topic=replay_topic, **options
        )
        async with ReplayLog(
            connection, replay_topic, dead_letter_topics=topics, timeout_s=timeout
        ) as log:
            note_missing(log)
            history = log.history
        troubles: Troubles = {}
        dead_letters = selected(
            connection, topics, selection, timeout, troubles, formats, unseen=sources.unseen
        )
        if not_replayed:
            dead_letters = unreplayed(dead_letters, history)
        listing = Listing(origins, history, troubles, format_)
        await (listing.print_each if each else listing.print_summary)(dead_letters)
        if not listing.cut:
            sources.check()
        return listing.pending

    pending = asyncio.run(run())
    if fail_if_any and pending:
        waiting = counted(pending, "dead letter is", "dead letters are")
        fail(f"{waiting} not known to have been replayed", quiet=as_json)
