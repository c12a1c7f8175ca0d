"""Run a command, and turn its end into an exit code and one line that explains it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import click
from aiokafka import errors

from tracing.cli.dlq import dlq
from tracing.cli.lag import lag_command
from tracing.cli.metrics import metrics_command
from tracing.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED: Final = 1
_WRONG_USAGE: Final = 2
_STOPPED: Final = 130
_ADVICE: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((errors.KafkaConnectionError,), ("no Kafka broker answers; check the address and the "
     "security settings of --command-config")),
    ((errors.SaslAuthenticationFailed, errors.AuthenticationFailedError,
      errors.AuthenticationMethodNotSupported),
     "the cluster refuses the credentials; check those in the file of --command-config"),
    ((errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError,
      errors.GroupAuthorizationFailedError),
     ("the cluster does not allow this; lag needs the rights to describe groups and topics and to "
     "read topics; dlq needs those to describe and read the dead-letter topic and --replay-topic, "
     "replay and edit also to write to the source topic and --replay-topic, purge also to delete")),
    ((errors.PolicyViolationError, errors.UnsupportedVersionError,
      errors.IncompatibleBrokerVersion),
     "the broker cannot do this with this topic; a topic that is only compacted cannot be purged"),
    ((errors.KafkaTimeoutError, TimeoutError),
     "the cluster did not answer in time; check its health, or raise --timeout"),
)  # fmt: skip


@click.group()
def cli() -> None:
    """Inspect a Kafka pipeline from outside."""


cli.add_command(dlq)
cli.add_command(lag_command)
cli.add_command(metrics_command)


def run(arguments: Sequence[str] | None) -> int:
    """Run the command that `arguments` name, and return its exit code."""
    # aiokafka logs every refused connection; one error at the end is enough.
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        code = cli.main(arguments, prog_name="python -m tracing", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return _end("stopped", _STOPPED)
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        click.echo(help_wanted.format_message(), err=True)
        return _WRONG_USAGE
    except (click.ClickException, errors.KafkaError, LookupError, OSError, ValueError) as error:
        return _end(
            _explained(error), _WRONG_USAGE if isinstance(error, click.UsageError) else _FAILED
        )
    finally:
        logger.setLevel(level)
    return code if isinstance(code, int) else 0


def _explained(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    for kinds, advice in _ADVICE:
        if isinstance(error, kinds):
            return f"{advice} ({type(error).__name__}: {error})"
    if isinstance(error, (LookupError, ValueError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _end(message: str, code: int) -> int:
    click.echo(f"tracing: {printable(' '.join(message.split()))}", err=True)
    return code
