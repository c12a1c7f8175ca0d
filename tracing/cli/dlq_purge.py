"""The command `dlq purge`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.option_types import LetterName, Moment
from tracing.cli.options import (
    SUFFIX,
    connecting,
    connection_of,
    dry_run_option,
    is_dead_letter_topic,
    json_option,
    naming,
    sure,
    yes_option,
)
from tracing.cli.terminal import iso_time
from tracing.delivery.dead_letter_names import TOPIC
from tracing.dlq.purging import purge, purgeable
from tracing.dlq.reading import letters

if TYPE_CHECKING:
    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId
    from tracing.dlq.purging import Purge


@click.command("purge")
@connecting
@click.option("--topic", "topics", multiple=True, help="A dead-letter topic; may be given again.")
@click.option("--before", type=Moment(), help="Only what failed before: 2h, 3d, or a time.")
@click.option(
    "--up-to",
    type=LetterName(),
    multiple=True,
    help="This letter and all before it in its partition; may be given again.",
)
@click.option("--all", "everything", is_flag=True, help="All letters.")
@naming
@click.option("--force", is_flag=True, help="Purge topics that are not named like one, too.")
@dry_run_option
@yes_option
@json_option
def purge_command(
    *,
    topics: tuple[str, ...],
    before: int | None,
    up_to: tuple[LetterId, ...],
    everything: bool,
    names: DeadLetterNames,
    suffix: str | None,
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Delete dead letters for good, from the oldest on.

    Kafka deletes only from the beginning of a partition, so what comes after the first letter
    that is to stay, stays too.
    """
    if (before is not None) + bool(up_to) + everything != 1:
        raise click.UsageError("say what to delete, one of: --before AGE, --up-to ID, --all")
    topics = topics or tuple(sorted({place.topic for place in up_to}))
    if not force:
        _check_names(topics, names, suffix)
    _check(topics, up_to)
    connection = connection_of(options, timeout)

    async def look() -> Purge:
        found = letters(connection, topics, timeout_s=timeout)
        return await purgeable(found, before_ms=before, up_to=up_to or None)

    found = asyncio.run(look())
    if found.letters and not dry_run:
        sure(f"Delete {found.letters} records of {', '.join(topics)} for good?", yes=yes)
        asyncio.run(purge(connection, found))
    if as_json:
        document = {
            "deleted": 0 if dry_run else found.letters,
            "would_delete": found.letters,
            "without_provenance": found.strangers,
            "kept": found.kept,
            "kept_behind_others": found.blocked,
            "before": None if before is None else iso_time(before),
            "up_to": [str(place) for place in up_to],
        }
        click.echo(json.dumps(document, indent=2))
        return
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(f"{found.letters} letters {verb}, {found.kept} kept")
    if found.strangers:
        click.echo(f"{found.strangers} of them without provenance, which are no dead letters")
    if found.blocked:
        click.echo(
            f"{found.blocked} are meant, but stay behind others that are not: "
            "Kafka deletes only from the beginning of a partition"
        )


def _check_names(topics: tuple[str, ...], names: DeadLetterNames, suffix: str | None) -> None:
    for topic in topics:
        if not is_dead_letter_topic(topic, names, suffix):
            end = suffix or (SUFFIX if names.template == TOPIC else None)
            why = f"is not named like {names.template}" if end is None else f"does not end in {end}"
            raise click.UsageError(
                f"{topic} {why}: this is no dead-letter topic (--force purges it all the same)"
            )


def _check(topics: tuple[str, ...], up_to: tuple[LetterId, ...]) -> None:
    if not topics:
        raise click.UsageError("say where: --topic TOPIC")
    for place in up_to:
        if place.topic not in topics:
            raise click.UsageError(f"--up-to {place} is in none of the topics of --topic")
