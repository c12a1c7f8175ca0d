"""The commands of `python -m tracing`, none of which is imported before it runs."""

from __future__ import annotations

import click

from tracing.cli.attempts import connection_attempts
from tracing.cli.groups import LazyGroup, version_option


@click.group(cls=LazyGroup, explain="tracing.cli.failures:explained")
@version_option
@click.pass_context
def cli(context: click.Context) -> None:
    """Inspect a Kafka pipeline from outside."""
    context.with_resource(connection_attempts())


@click.group(cls=LazyGroup)
def dlq() -> None:
    """Inspect, replay, edit, purge and skip dead letters."""


cli.add_command(dlq)
dlq.add_lazy(
    "list",
    "tracing.cli.dlq_list:list_command",
    "List dead letters by topic, group and error, and which of them were replayed.",
)
dlq.add_lazy(
    "show",
    "tracing.cli.dlq_show:show_command",
    "Show why the dead letter ID (TOPIC/PARTITION/OFFSET) failed, and its trace.",
)
dlq.add_lazy(
    "replay",
    "tracing.cli.dlq_replay:replay_command",
    "Send dead letters back to their topics, for the groups that gave them up.",
)
dlq.add_lazy(
    "edit",
    "tracing.cli.dlq_edit:edit_command",
    "Edit the value of the dead letter ID (TOPIC/PARTITION/OFFSET), and replay it.",
)
dlq.add_lazy(
    "purge",
    "tracing.cli.dlq_purge:purge_command",
    "Delete dead letters permanently, oldest first.",
)
dlq.add_lazy(
    "skip",
    "tracing.cli.dlq_skip:skip_command",
    "Move a stopped group past its next record, and keep that record.",
)
dlq.add_lazy(
    "serve",
    "tracing.cli.dlq_serve:serve_command",
    "Show dead letters in a browser, until Ctrl-C.",
)
cli.add_lazy(
    "lag",
    "tracing.cli.lag:lag_command",
    "Show the lag of consumer groups, in records and in seconds, and their status.",
)
cli.add_lazy(
    "metrics",
    "tracing.cli.metrics:metrics_command",
    "List all metrics with their labels and their names in Prometheus.",
)
