"""The command `dlq purge`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.option_types import DeadLetterName, Moment
from tracing.cli.options import (
    connecting,
    connection_of,
    dry_run_option,
    formats_of,
    json_option,
    naming,
    recognising,
    replay_topic_option,
    yes_option,
)
from tracing.cli.terminal import confirm
from tracing.core.text import counted
from tracing.core.times import iso_time
from tracing.delivery.dead_letter_names import TOPIC

if TYPE_CHECKING:
    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId
    from tracing.dlq.purging import Purge
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection


@click.command("purge")
@connecting
@click.option("--topic", "topics", multiple=True, help="A dead-letter topic; repeatable.")
@click.option(
    "--before",
    type=Moment(),
    help="Delete dead letters that failed before an age, such as 2h or 3d, or a time.",
)
@click.option(
    "--up-to",
    type=DeadLetterName(),
    multiple=True,
    help="Delete this dead letter and all before it in its partition; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Delete all dead letters.")
@naming
@recognising
@click.option(
    "--force", is_flag=True, help="Also purge topics that are not named like dead-letter topics."
)
@replay_topic_option
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
    replay_topic: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Delete dead letters permanently, oldest first.

    Kafka deletes only from the beginning of a partition: a dead letter that stays also keeps all
    those after it. What --replay-topic remembers of deleted dead letters is deleted as well, where
    the cluster allows it.
    """
    from tracing.dlq.claims import forget_deleted
    from tracing.dlq.purging import purge, purgeable
    from tracing.dlq.reading import letters
    from tracing.dlq.replay_log import ReplayLog

    if (before is not None) + bool(up_to) + everything != 1:
        raise click.UsageError("say what to delete, one of: --before AGE, --up-to ID, --all")
    topics = topics or tuple(sorted({chosen.topic for chosen in up_to}))
    formats = formats_of(options)
    if not force:
        _check_names(topics, names, suffix, formats)
    _check(topics, up_to)
    connection = connection_of(options, timeout)

    async def look() -> Purge:
        await _check_existing(connection, topics, replay_topic, names, suffix, formats)
        dead_letters = letters(connection, topics, timeout_s=timeout, formats=formats)
        return await purgeable(dead_letters, before_ms=before, up_to=up_to or None)

    async def delete(plan: Purge) -> None:
        await purge(connection, plan)
        async with ReplayLog(
            connection, replay_topic, dead_letter_topics=topics, timeout_s=timeout
        ) as log:
            await forget_deleted(connection, log)

    plan = asyncio.run(look())
    if plan.letters and not dry_run:
        confirm(
            f"Delete {counted(plan.letters, 'record')} of {', '.join(topics)} permanently?", yes=yes
        )
        asyncio.run(delete(plan))
    if as_json:
        document = {
            "deleted": 0 if dry_run else plan.letters,
            "would_delete": plan.letters,
            "without_provenance": plan.not_dead_letters,
            "kept": plan.kept,
            "kept_behind_others": plan.blocked,
            "before": None if before is None else iso_time(before),
            "up_to": [str(chosen) for chosen in up_to],
        }
        click.echo(json.dumps(document, indent=2))
        return
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(f"{counted(plan.letters, 'dead letter')} {verb}, {plan.kept} kept")
    if plan.not_dead_letters:
        click.echo(
            f"without provenance, and so not dead letters: {plan.not_dead_letters:,} of them"
        )
    if plan.blocked:
        click.echo(
            "selected, but kept, as they lie behind others that are not selected: "
            f"{plan.blocked:,}. "
            "Kafka deletes only from the beginning of a partition"
        )


async def _check_existing(
    connection: Connection,
    topics: tuple[str, ...],
    replay_topic: str,
    names: DeadLetterNames,
    suffix: str | None,
    formats: DeadLetterFormats,
) -> None:
    """Check that the topics exist, before a request for one of them may create it.

    Raises:
        click.UsageError: One does not.
    """
    from tracing.cli.dlq_chosen import is_dead_letter_topic
    from tracing.dlq.reading import topics_of

    existing = await topics_of(connection)
    if missing := sorted(set(topics) - existing):
        others = sorted(
            topic
            for topic in existing - {replay_topic}
            if is_dead_letter_topic(topic, names, suffix, formats)
        )
        raise click.UsageError(
            f"there is no topic {', '.join(missing)}; "
            f"dead-letter topics: {', '.join(others) or 'none'}"
        )


def _check_names(
    topics: tuple[str, ...],
    names: DeadLetterNames,
    suffix: str | None,
    formats: DeadLetterFormats,
) -> None:
    from tracing.cli.dlq_chosen import SUFFIX, is_dead_letter_topic

    for topic in topics:
        if not is_dead_letter_topic(topic, names, suffix, formats):
            end = suffix or (SUFFIX if names.template == TOPIC else None)
            why = f"is not named like {names.template}" if end is None else f"does not end in {end}"
            raise click.UsageError(
                f"{topic} {why}, so it may not be a dead-letter topic (--force purges it anyway)"
            )


def _check(topics: tuple[str, ...], up_to: tuple[LetterId, ...]) -> None:
    if not topics:
        raise click.UsageError("say which topic to purge: --topic TOPIC")
    for chosen in up_to:
        if chosen.topic not in topics:
            raise click.UsageError(f"--up-to {chosen} is not in a topic of --topic")
