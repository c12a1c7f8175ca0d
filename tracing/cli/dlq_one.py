"""Look one dead letter up: for the commands that are about a single one."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tracing.cli.dlq_state import note_missing
from tracing.cli.options import connection_of, formats_of
from tracing.dlq.origins import Origins
from tracing.dlq.reading import letters, topics_of
from tracing.dlq.replay_log import ReplayLog

if TYPE_CHECKING:
    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayStatus
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection


class One(NamedTuple):
    """A dead letter.

    Attributes:
        dead_letter: The dead letter.
        refusal: Why it is not replayed; `None` if it can be.
        status: What is known about its replays.
    """

    dead_letter: Letter
    refusal: str | None
    status: ReplayStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Where to look a dead letter up.

    Attributes:
        connection: The cluster.
        id: The dead letter's id.
        names: How dead-letter topics are named.
        formats: How dead letters name their origin.
        replay_topic: The topic that remembers replays.
        timeout_s: How long to wait for a broker, in seconds.
    """

    connection: Connection
    id: LetterId
    names: DeadLetterNames
    formats: DeadLetterFormats
    replay_topic: str
    timeout_s: float

    async def find(self) -> One:
        """Return the dead letter.

        Raises:
            click.ClickException: There is no record at this place, or it is no dead letter.
        """
        reading = letters(
            self.connection,
            [self.id.topic],
            only=self.id,
            timeout_s=self.timeout_s,
            formats=self.formats,
        )
        async with aclosing(reading):
            dead_letter = await anext(reading, None)
        if dead_letter is None:
            raise click.ClickException(
                f"there is no dead letter {self.id}; it may have been purged"
            )
        provenance = dead_letter.provenance
        if provenance is None and dead_letter.problem is None:
            raise click.ClickException(
                f"{self.id} is no dead letter: neither its headers nor the name of its topic say "
                "which topic it came from. If they do in a way of your own, describe it with "
                "--origin-header topic=HEADER or --dead-letter-pattern REGEX"
            )
        # A user who names a dead letter has seen which topic it names.
        named = () if provenance is None else (provenance.topic,)
        topics = await topics_of(self.connection) - {self.replay_topic}
        origins = Origins(topics, template=self.names.template, named=named, formats=self.formats)
        async with self.log() as log:
            note_missing(log)
            return One(dead_letter, origins.refusal(dead_letter), log.history.status(dead_letter))

    def log(self) -> ReplayLog:
        """Return what remembers the replays of the dead letter, to be entered."""
        return ReplayLog(
            self.connection,
            self.replay_topic,
            dead_letter_topics=[self.id.topic],
            timeout_s=self.timeout_s,
        )


def lookup_of(
    options: dict[str, Any],
    dead_letter_id: LetterId,
    *,
    names: DeadLetterNames,
    replay_topic: str,
    timeout_s: float,
) -> Lookup:
    """Return where the options of a command say to look a dead letter up.

    Args:
        options: The options of the connection and of `recognising`, which are removed.
        dead_letter_id: The dead letter's id.
        names: How dead-letter topics are named.
        replay_topic: The topic that remembers replays.
        timeout_s: How long to wait for a broker, in seconds.

    Raises:
        click.UsageError: An option is not valid.
    """
    return Lookup(
        connection=connection_of(options, timeout_s),
        id=dead_letter_id,
        names=names,
        formats=formats_of(options),
        replay_topic=replay_topic,
        timeout_s=timeout_s,
    )
