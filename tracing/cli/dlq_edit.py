"""The command `dlq edit`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.cli.dlq_sending import confirm_other_system, remember_option, replay_telemetry
from tracing.cli.editor import edit_file, private_file
from tracing.cli.option_types import DeadLetterName
from tracing.cli.options import (
    connecting,
    json_option,
    naming,
    recognising,
    replay_topic_option,
    yes_option,
)
from tracing.cli.terminal import ask, confirm
from tracing.core.text import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tracing.cli.dlq_one import Lookup
    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.editing import Draft
    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayStatus
    from tracing.dlq.replaying import Replayed
    from tracing.headers.dead_letter import Provenance

_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}
_LINE: Final = 2000


@click.command("edit")
@click.argument("dead_letter_id", metavar="ID", type=DeadLetterName())
@connecting
@naming
@recognising
@click.option(
    "--hex", "as_hex", is_flag=True,
    help="Edit the bytes as hexadecimal digits, for a value that is not text.",
)  # fmt: skip
@replay_topic_option
@remember_option
@yes_option
@json_option
def edit_command(
    *,
    dead_letter_id: LetterId,
    as_hex: bool,
    replay_topic: str,
    remember: bool,
    names: DeadLetterNames,
    suffix: str | None,
    yes: bool,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Edit the value of the dead letter ID (TOPIC/PARTITION/OFFSET), and replay it.

    The value opens in $VISUAL or $EDITOR. The command shows what was changed, and asks before it
    sends the record to the topic and group that it came from. Headers and key stay as they are. If
    nothing was changed or the editor fails, nothing is sent.

    JSON has to stay JSON. The dead letter itself stays in its topic, unchanged. A consumer with an
    inbox that has already applied the event skips it.
    """
    from tracing.cli.dlq_one import lookup_of
    from tracing.dlq.editing import Draft

    del suffix  # Not needed for one dead letter; accepted for users who always set it.
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: add --yes")
    lookup = lookup_of(
        options, dead_letter_id, names=names, replay_topic=replay_topic, timeout_s=timeout
    )
    dead_letter, refusal, status = asyncio.run(lookup.find())
    provenance = dead_letter.provenance
    if refusal is not None or provenance is None:
        raise click.ClickException(f"{dead_letter_id} is not replayed: {refusal}")
    confirm_other_system(dead_letter_id, provenance, yes=yes)
    _ask_again(status, yes=yes)
    whole = asyncio.run(_whole(lookup, dead_letter, provenance))
    edited = _edited(Draft(whole, as_hex=as_hex), yes=yes)
    report: dict[str, Any] = {
        "id": str(dead_letter_id),
        "topic": provenance.topic,
        "partition": provenance.partition,
        "group": provenance.group,
        "changed": edited != whole.record.value,
        "sent": False,
    }
    partition = "" if provenance.partition < 0 else f"[{provenance.partition}]"
    group = f"group {provenance.group}" if provenance.group else "all its groups"
    to = printable(f"{provenance.topic}{partition} for {group}")
    if report["changed"]:
        confirm(f"Send this to {to}?", yes=yes)
        result = asyncio.run(
            _send(lookup, dead_letter.with_value(edited), status, remember=remember, yes=yes)
        )
        _check(result, replay_topic)
        report["sent"] = True
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif report["sent"]:
        click.echo(f"sent to {to}; the dead letter stays in its topic")
    else:
        click.echo("nothing was changed, so nothing was sent")


async def _whole(lookup: Lookup, dead_letter: Letter, provenance: Provenance) -> Letter:
    """Return a dead letter with the value of its record, which it may only refer to."""
    from tracing.dlq.originals import Originals
    from tracing.dlq.reading import reader

    if lookup.formats.copies_records(provenance):
        return dead_letter
    async with reader(lookup.connection) as consumer:
        return await Originals(consumer, lookup.formats).whole(dead_letter, provenance)


def _ask_again(status: ReplayStatus, *, yes: bool) -> None:
    from tracing.cli.dlq_state import Again, ask_again

    again = Again()
    again.add(status)
    ask_again(again, yes=yes)


def _edited(draft: Draft, *, yes: bool) -> bytes:
    """Return the value as the user leaves it, and show what was changed.

    Raises:
        click.ClickException: The editor fails, or the text stands for no value.
    """
    with private_file(draft.content, draft.suffix) as file:
        while True:
            content = edit_file(file)
            try:
                value = draft.value(content)
            except ValueError as error:
                if yes:
                    raise click.ClickException(f"nothing was sent: {error}") from None
                click.echo(printable(str(error)), err=True)
                ask("Edit again?", default=True)
                continue
            for line in draft.diff(content):
                click.secho(printable(line, _LINE), err=True, fg=_COLOURS.get(line[:1]))
            return value


async def _send(
    lookup: Lookup, dead_letter: Letter, seen: ReplayStatus, *, remember: bool, yes: bool
) -> Replayed:
    from tracing.dlq.replaying import replay

    async def alone() -> AsyncIterator[Letter]:
        yield dead_letter

    async with lookup.log() as log:
        # The editor may have been open for long.
        status = log.history.status(dead_letter)
        if status != seen:
            _ask_again(status, yes=yes)
        with replay_telemetry() as telemetry:
            return await replay(
                lookup.connection,
                alone(),
                telemetry,
                dead_letter_topic=lookup.names.template,
                formats=lookup.formats,
                source_topics=[dead_letter.provenance.topic] if dead_letter.provenance else [],
                remember=remember,
                log=log,
            )


def _check(result: Replayed, replay_topic: str) -> None:
    """Check that the dead letter was sent, and that this is remembered.

    Raises:
        click.ClickException: Not so.
    """
    for why in result.failed.values():
        raise click.ClickException(f"it could not be sent: {why}")
    if result.unrecorded:
        raise click.ClickException(
            f"it was sent, but that could not be recorded in {replay_topic}: it is listed as "
            "perhaps replayed"
        )
