"""The command `dlq replay`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from tracing.cli.dlq_sending import remember_option
from tracing.cli.option_types import Positive
from tracing.cli.options import (
    connecting,
    connection_of,
    dry_run_option,
    formats_of,
    json_option,
    not_replayed_option,
    replay_topic_option,
    same_topics,
    selecting,
    yes_option,
)


@click.command("replay")
@connecting
@selecting
@click.option("--rate", type=Positive(), help="Send at most this many per second.")
@click.option("--limit", type=click.IntRange(min=1), help="Replay at most this many.")
@not_replayed_option
@replay_topic_option
@remember_option
@dry_run_option
@yes_option
@json_option
def replay_command(
    *,
    rate: float | None,
    limit: int | None,
    not_replayed: bool,
    replay_topic: str,
    remember: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Send dead letters back to their topics, for the groups that gave them up.

    A dead letter is refused, with the reason, if it does not lie in the dead-letter topic of the
    topic and group that it names. The others are sent, and the exit code is 1.

    Other groups skip the replayed records. The dead letters stay in their topic: purge it when
    they are handled.

    What was replayed is remembered in --replay-topic, which the first replay creates. To send a
    dead letter again that was, or may have been, replayed, the command asks, unless --yes is set;
    without a terminal it then sends nothing, and the exit code is 1.

    Dead letters of Kafka Connect, Kafka Streams, share groups and Spring go back without the
    headers that these added. Consumers that are not of this library do not skip them, so the
    command asks first. Where only their headers say which topic they came from, name it with
    --topic.

    If a topic of --topic does not exist, and no dead letter came from it, the exit code is 2.
    """
    from tracing.cli.dlq_replay_run import Plan, Run

    connection = connection_of(options, timeout)
    plan = Plan(rate, limit, not_replayed, replay_topic, remember, dry_run, yes, timeout)
    # Read before `formats_of` takes two of the options out.
    same = same_topics(options, replay_topic)
    run = Run(connection, plan, formats_of(options), same)
    problem: BaseException | None = None
    try:
        asyncio.run(run.work(**options))
    except (KeyboardInterrupt, Exception) as error:
        if not run.summary.read:
            raise
        problem = error
    # Even after an error, the user has to know what was sent.
    if as_json:
        click.echo(json.dumps(run.document(ended=problem is None), indent=2))
    else:
        run.print()
    if problem is not None:
        raise problem
    run.check()
