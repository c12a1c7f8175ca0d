"""The commands of `python -m dashboards`, none of which is imported before it runs."""

from __future__ import annotations

import click

from tracing.cli.groups import LazyGroup, version_option


@click.group(cls=LazyGroup)
@version_option
def cli() -> None:
    """Generate Grafana dashboards and alert rules from the catalogue of metrics."""


cli.add_lazy(
    "generate", "dashboards.cli.generate:generate_command", "Generate dashboards and rules."
)
cli.add_lazy("list", "dashboards.cli.listing:list_command", "List dashboards and alerts.")
cli.add_lazy(
    "publish",
    "dashboards.cli.publish:publish_command",
    "Upload the dashboards to a running Grafana and show what changes.",
)
