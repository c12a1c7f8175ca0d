"""What the commands that send dead letters share: an option, a question, and telemetry."""

from __future__ import annotations

import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Final

import click

from tracing.cli.terminal import confirm
from tracing.core.environment import service_name
from tracing.headers.dead_letter import WRITTEN_BY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracing.dlq.places import LetterId
    from tracing.headers.dead_letter import Provenance
    from tracing.telemetry import Telemetry

_PIPELINE: Final = "dead-letters"

remember_option: Final = click.option(
    "--remember/--no-remember",
    default=True,
    show_default=True,
    help="Whether to remember what is replayed.",
)


def confirm_other_system(dead_letter_id: LetterId, provenance: Provenance, *, yes: bool) -> bool:
    """Ask before a dead letter of another system is replayed; return whether it is one.

    Raises:
        click.UsageError: There is no terminal to ask at.
        click.Abort: The answer is no.
    """
    if provenance.written_by == WRITTEN_BY:
        return False
    confirm(
        f"{dead_letter_id} was written by {provenance.written_by}. Consumers that are not of "
        "this library do not know which group a replay is for: all their groups that read "
        f"{provenance.topic} handle it again. Replay such dead letters to {provenance.topic}?",
        yes=yes,
        otherwise="add --yes to replay dead letters of other systems",
    )
    return True


@contextmanager
def replay_telemetry() -> Iterator[Telemetry]:
    """Yield telemetry, exported only if the environment names an endpoint.

    What the environment wants on the console goes to standard error.
    """
    from tracing.telemetry import Telemetry

    try:
        from tracing import otlp  # the extra `cli` brings no SDK
    except ImportError:
        yield Telemetry(_PIPELINE)
        return
    if not any(otlp.configured(signal) for signal in ("traces", "metrics", "logs")):
        yield Telemetry(_PIPELINE)
        return
    # The console exporters write to what is standard output now: the report has that to itself.
    with redirect_stdout(sys.stderr):
        providers = otlp.configure(service_name() or "pipeline-tracing-dlq")
    try:
        yield providers.telemetry(_PIPELINE)
    finally:
        providers.shutdown()
