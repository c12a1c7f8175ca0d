"""Options that the commands share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.cli.option_types import (
    Addresses,
    DeadLetterName,
    Moment,
    OriginHeader,
    Positive,
    Template,
    TopicName,
    TraceUrl,
)
from tracing.delivery.dead_letter_names import REPLAY_TOPIC, TOPIC
from tracing.headers.dead_letter_formats import DeadLetterFormats
from tracing.kafka.connection import Connection, read_command_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, for machines."
)
yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
dry_run_option: Final = click.option(
    "--dry-run", is_flag=True, help="Only show what would be done."
)
trace_url_option: Final = click.option(
    "--trace-url",
    type=TraceUrl(),
    envvar="PIPELINE_TRACING_TRACE_URL",
    metavar="URL",
    help="The URL of a trace, with {trace_id} for its id (or PIPELINE_TRACING_TRACE_URL).",
)
replay_topic_option: Final = click.option(
    "--replay-topic",
    type=TopicName(),
    default=REPLAY_TOPIC,
    show_default=True,
    envvar="PIPELINE_TRACING_REPLAY_TOPIC",
    help="The topic that remembers what was replayed (or PIPELINE_TRACING_REPLAY_TOPIC).",
)
not_replayed_option: Final = click.option(
    "--not-replayed",
    is_flag=True,
    help="Leave out the dead letters that are known to have been replayed.",
)


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that connect to a cluster."""
    for option in (
        click.option(
            "--bootstrap-servers",
            envvar="KAFKA_BOOTSTRAP_SERVERS",
            required=True,
            type=Addresses(),
            metavar="HOST:PORT",
            show_envvar=True,
            help="The cluster's addresses.",
        ),
        click.option(
            "--command-config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="PIPELINE_TRACING_COMMAND_CONFIG",
            metavar="FILE",
            help="A properties file with security settings and passwords "
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
    """Add the options that select dead letters."""
    for option in (
        click.option(
            "--topic",
            "topics",
            multiple=True,
            help="A dead-letter topic, or a topic that dead letters came from; repeatable.",
        ),
        click.option(
            "--group",
            "groups",
            multiple=True,
            help="A consumer group that gave records up; repeatable.",
        ),
        click.option(
            "--error",
            "errors",
            multiple=True,
            help="An error type, with * for any text; repeatable.",
        ),
        click.option(
            "--since",
            type=Moment(),
            help="Failed at or after an age, such as 15m, 2h or 3d, or a time.",
        ),
        click.option("--until", type=Moment(), help="Failed before an age or a time."),
        click.option(
            "--id",
            "ids",
            type=DeadLetterName(),
            multiple=True,
            help="A single dead letter; repeatable.",
        ),
    ):
        command = option(command)
    return naming(recognising(command))


def naming(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how dead-letter topics are named."""
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
            help="The suffix that all dead-letter topics share; by default, --dead-letter-topic "
            "decides.",
        ),
    ):
        command = option(command)
    return command


def recognising(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe dead letters which this library did not write."""
    for option in (
        click.option(
            "--dead-letter-pattern",
            "dead_letter_patterns",
            multiple=True,
            metavar="REGEX",
            envvar="PIPELINE_TRACING_DEAD_LETTER_PATTERN",
            help="Other topics that hold dead letters, such as those of Kafka Connect and Kafka "
            "Streams: a regular expression of the whole name, in which (?P<topic>...) is the "
            "topic that they came from, and (?P<group>...) the group; repeatable (or "
            "PIPELINE_TRACING_DEAD_LETTER_PATTERN). Named dlq.*, *-dlt and *.DLT, they are known.",
        ),
        click.option(
            "--origin-header",
            "origin_headers",
            type=OriginHeader(),
            multiple=True,
            envvar="PIPELINE_TRACING_ORIGIN_HEADER",
            help="A header of your own that says where a dead letter came from, for example "
            "topic=x-original-topic. FIELD is topic, partition, offset, timestamp, group, error, "
            "message, attempts or failed-at; repeatable (or PIPELINE_TRACING_ORIGIN_HEADER).",
        ),
    ):
        command = option(command)
    return command


def formats_of(options: dict[str, Any]) -> DeadLetterFormats:
    """Remove the options of `recognising` from `options`, and return what they describe.

    Raises:
        click.UsageError: They are not valid.
    """
    patterns = options.pop("dead_letter_patterns")
    try:
        return DeadLetterFormats(patterns, dict(options.pop("origin_headers")))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def same_topics(options: Mapping[str, Any], replay_topic: str) -> list[str]:
    """Return the options with which another command knows the same dead letters, for a shell.

    Args:
        options: The options of `naming` and `recognising`.
        replay_topic: The topic that remembers replays.
    """
    names, suffix = options["names"], options["suffix"]
    values = [
        *([("--dead-letter-topic", names.template)] if names.template != TOPIC else []),
        *([("--suffix", suffix)] if suffix is not None else []),
        *(("--dead-letter-pattern", pattern) for pattern in options["dead_letter_patterns"]),
        *(("--origin-header", "=".join(pair)) for pair in options["origin_headers"]),
        *([("--replay-topic", replay_topic)] if replay_topic != REPLAY_TOPIC else []),
    ]
    return [f"{option} {shlex.quote(value)}" for option, value in values]


def connection_of(options: dict[str, Any], timeout_s: float) -> Connection:
    """Remove the options of the connection from `options`, and return the connection.

    Raises:
        click.UsageError: The file of --command-config is not usable.
    """
    file = options.pop("command_config")
    try:
        more = {} if file is None else read_command_config(file)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    options_of_clients = {"request_timeout_ms": max(1, int(timeout_s * 1000)), **more}
    return Connection(options.pop("bootstrap_servers"), options_of_clients)
