"""What the user can do about a failure: one line for each exception that has a cause outside."""

from __future__ import annotations

from typing import Final

import click
from aiokafka import errors

from tracing.cli.attempts import failed_attempts
from tracing.cli.unreachable import describe, is_refusal
from tracing.core.text import error_text

_CONNECTION: Final = (
    errors.KafkaConnectionError,
    errors.NodeNotReadyError,
    errors.NoBrokersAvailable,
    errors.KafkaTimeoutError,
    errors.RequestTimedOutError,
    errors.StaleMetadata,
    TimeoutError,
)
_ADVICE: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    (
        (
            errors.TopicAuthorizationFailedError,
            errors.ClusterAuthorizationFailedError,
            errors.GroupAuthorizationFailedError,
        ),
        (
            "the cluster does not allow this; lag needs the rights to describe groups and topics "
            "and to read topics; dlq needs those to describe and read the dead-letter topic and "
            "--replay-topic, replay and edit also to write to the source topic and --replay-topic, "
            "purge also to delete"
        ),
    ),
    (
        (
            errors.PolicyViolationError,
            errors.UnsupportedVersionError,
            errors.IncompatibleBrokerVersion,
        ),
        (
            "the broker cannot do this with this topic; a topic that is only compacted cannot be "
            "purged"
        ),
    ),
    (
        (errors.KafkaTimeoutError, errors.RequestTimedOutError, TimeoutError),
        "the cluster did not answer in time; check its health, or raise --timeout",
    ),
    (
        (errors.KafkaConnectionError, errors.NodeNotReadyError, errors.NoBrokersAvailable),
        "no Kafka broker answers; check the address and the security settings of --command-config",
    ),
)


def explained(error: Exception) -> click.ClickException | None:
    """Return a failure as a line for the user; `None` for a mistake in this program."""
    if isinstance(error, ImportError) and isinstance(error.__cause__, ImportError):
        return click.ClickException(str(error))  # an exporter that is not installed
    if not isinstance(error, (errors.KafkaError, LookupError, OSError, ValueError)):
        return None
    return click.ClickException(" ".join(_text(error).split()))


def _text(error: Exception) -> str:
    if is_refusal(error):
        return describe("the cluster", error)
    if isinstance(error, _CONNECTION) and (attempts := failed_attempts()):
        return "cannot connect to Kafka: " + "; ".join(describe(*attempt) for attempt in attempts)
    for kinds, advice in _ADVICE:
        if isinstance(error, kinds):
            return f"{advice} ({error_text(error)})"
    if isinstance(error, (LookupError, ValueError)):
        return str(error)
    return error_text(error)
