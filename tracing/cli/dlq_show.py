"""The command `dlq show`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.option_types import DeadLetterName
from tracing.cli.options import (
    connecting,
    json_option,
    naming,
    recognising,
    replay_topic_option,
    trace_url_option,
)
from tracing.cli.terminal import console

if TYPE_CHECKING:
    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId


@click.command("show")
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
    from tracing.cli.dlq_one import lookup_of
    from tracing.cli.dlq_output import print_document
    from tracing.dlq.documents import dead_letter_document

    del suffix  # Not needed for one dead letter; accepted for users who always set it.
    lookup = lookup_of(
        options, dead_letter_id, names=names, replay_topic=replay_topic, timeout_s=timeout
    )
    dead_letter, refusal, status = asyncio.run(lookup.find())
    document = dead_letter_document(
        dead_letter,
        trace_url=trace_url,
        payload=payload,
        stacktrace=stacktrace,
        refusal=refusal,
        status=status,
    )
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_document(document, console())
