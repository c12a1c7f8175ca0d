"""The options that the commands share, and how they are read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from tracing.cli.option_types import Addresses, LetterName, Moment, Positive, Template
from tracing.delivery.dead_letter_names import TOPIC
from tracing.dlq.origins import Origins
from tracing.dlq.reading import topics_of
from tracing.dlq.selection import Selection
from tracing.kafka.connection import Connection, read_command_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId

SUFFIX: Final = ".dlq"
"""What dead-letter topics end in, unless services choose their names."""

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="For machines: one JSON document."
)
yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option: Final = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


class Chosen(NamedTuple):
    """What was chosen.

    Attributes:
        topics: The dead-letter topics.
        selection: Which of their letters.
        origins: What judges where the letters say that they come from.
    """

    topics: list[str]
    selection: Selection
    origins: Origins


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add what it takes to reach a cluster."""
    for option in (
        click.option(
            "--bootstrap-servers",
            envvar="KAFKA_BOOTSTRAP_SERVERS",
            required=True,
            type=Addresses(),
            metavar="HOST:PORT",
            help="The cluster (or KAFKA_BOOTSTRAP_SERVERS).",
        ),
        click.option(
            "--command-config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="PIPELINE_TRACING_COMMAND_CONFIG",
            metavar="FILE",
            help="A properties file with security settings; passwords belong there "
            "(or PIPELINE_TRACING_COMMAND_CONFIG).",
        ),
        click.option(
            "--timeout",
            type=Positive(),
            default=30.0,
            show_default=True,
            help="Seconds to wait for a broker.",
        ),
    ):
        command = option(command)
    return command


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add what chooses letters."""
    for option in (
        click.option(
            "--topic",
            "topics",
            multiple=True,
            help="A dead-letter topic, or a topic that letters came from; may be given again.",
        ),
        click.option("--group", "groups", multiple=True, help="Who gave them up."),
        click.option("--error", "errors", multiple=True, help="The error type; * for anything."),
        click.option("--since", type=Moment(), help="Failed since: 15m, 2h, 3d, or a time."),
        click.option("--until", type=Moment(), help="Failed before."),
        click.option("--id", "ids", type=LetterName(), multiple=True, help="A single letter."),
    ):
        command = option(command)
    return naming(command)


def naming(command: Callable[..., None]) -> Callable[..., None]:
    """Add how dead-letter topics are named."""
    for option in (
        click.option(
            "--dead-letter-topic",
            "names",
            type=Template(),
            default=TOPIC,
            show_default=True,
            envvar="PIPELINE_TRACING_DEAD_LETTER_TOPIC",
            help="How the services name dead-letter topics, as in DeadLetters(topic=...) "
            "(or PIPELINE_TRACING_DEAD_LETTER_TOPIC).",
        ),
        click.option(
            "--suffix",
            help="What dead-letter topics end in, where that is all they have in common; by "
            "default what --dead-letter-topic says.",
        ),
    ):
        command = option(command)
    return command


def is_dead_letter_topic(topic: str, names: DeadLetterNames, suffix: str | None) -> bool:
    """Return whether a topic holds dead letters, by its name."""
    if suffix is None and names.template != TOPIC:
        return names.names(topic)
    return topic.endswith(SUFFIX if suffix is None else suffix)


def connection_of(options: dict[str, Any], timeout_s: float) -> Connection:
    """Take the connection's options out of all options; a request may take `timeout_s` seconds.

    Raises:
        click.UsageError: The file does not fit.
    """
    file = options.pop("command_config")
    try:
        more = {} if file is None else read_command_config(file)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    options_of_clients = {"request_timeout_ms": max(1, int(timeout_s * 1000)), **more}
    return Connection(options.pop("bootstrap_servers"), options_of_clients)


async def chosen(
    connection: Connection,
    *,
    topics: Sequence[str],
    groups: Sequence[str],
    errors: Sequence[str],
    since: int | None,
    until: int | None,
    ids: Sequence[LetterId],
    names: DeadLetterNames,
    suffix: str | None,
) -> Chosen:
    """Find the dead-letter topics that are meant, and which of their letters.

    Raises:
        click.UsageError: A topic is named that does not exist, or that has no dead letters.
    """
    existing = await topics_of(connection)
    known = sorted(each for each in existing if is_dead_letter_topic(each, names, suffix))
    named = {topic for topic in topics if is_dead_letter_topic(topic, names, suffix)}
    sources = frozenset(topics) - named
    if missing := sorted(named - set(known)):
        raise click.UsageError(
            f"there is no topic {', '.join(missing)}; there are: {', '.join(known) or 'none'}"
        )
    if missing := sorted({place.topic for place in ids} - set(known)):
        raise click.UsageError(
            f"there is no dead-letter topic {', '.join(missing)}; there are: "
            f"{', '.join(known) or 'none'}"
        )
    for source in sources:
        if not any(source in topic for topic in known):
            raise click.UsageError(
                f"topic {source} has no dead-letter topic; there are: {', '.join(known) or 'none'}"
            )
    # How a service names its dead-letter topics is its own choice, but for their source in it;
    # what lies in them that came from elsewhere, the selection leaves out.
    meant = [
        topic
        for topic in known
        if not topics or topic in named or any(source in topic for source in sources)
    ]
    if ids:
        meant = [topic for topic in meant if any(place.topic == topic for place in ids)]
    selection = Selection(
        topics=frozenset(named),
        sources=sources,
        groups=frozenset(groups),
        errors=tuple(errors),
        since_ms=since,
        until_ms=until,
        ids=frozenset(ids),
    )
    return Chosen(meant, selection, Origins(existing, template=names.template, named=sources))


def sure(question: str, *, yes: bool) -> None:
    """Ask a person at the terminal, unless the answer was given.

    Raises:
        click.UsageError: There is nobody to be asked.
        click.Abort: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: add --yes, or choose letters")
    click.confirm(question, abort=True, err=True)
