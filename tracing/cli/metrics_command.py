"""The command `metrics`: what there is to be seen, before there is anything to see."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracing.cli.metrics import document, markdown
from tracing.metrics import catalog


@click.command("metrics")
@click.option("--markdown", "as_markdown", is_flag=True, help="As the document METRICS.md.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for machines.")
def metrics_command(*, as_markdown: bool, as_json: bool) -> None:
    """List all metrics with their labels, and their names in Prometheus."""
    if as_markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other")
    if as_markdown:
        click.echo(markdown(), nl=False)
    elif as_json:
        click.echo(json.dumps(document(), indent=2))
    else:
        Console().print(_table())


def _table() -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("metric, in Prometheus", "kind", "labels"):
        table.add_column(heading, overflow="fold")
    for metric in catalog.METRICS:
        name = Text.assemble(metric.name, "\n", (metric.prometheus, "dim"))
        unit = "" if metric.unit.startswith("{") else f", {metric.unit}"
        table.add_row(name, metric.kind + unit, "\n".join(metric.prometheus_labels))
    return table
