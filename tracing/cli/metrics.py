"""The command `metrics`: the catalogue as a table, as Markdown and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.cli.terminal import console
from tracing.core.environment import TYPE_LABEL_VARIABLE
from tracing.messaging.order_memory import MAX_KEYS
from tracing.metrics import catalog
from tracing.metrics.cardinality import DEFAULT_MAX_SERIES
from tracing.metrics.message_types import MAX_MESSAGE_TYPES

if TYPE_CHECKING:
    from rich.table import Table

    from tracing.metrics.metric import Metric

HEADINGS: Final = ("metric", "kind", "unit", "labels", "in Prometheus", "meaning")

# The last bucket has no bound.
_PARTS: Final = [len(metric.buckets) + 3 for metric in catalog.METRICS if metric.buckets]

_HEAD: Final = f"""\
# Metrics

Made from `tracing/metrics/catalog.py` by `python -m tracing metrics --markdown`.

- Labels are OpenTelemetry attributes; in Prometheus, underscores replace their dots. A label that
  does not apply is absent, for example `error.type` if nothing failed. Labels hold no ids, keys or
  payloads: ids are attributes of spans, and exemplars link to spans.
- Names in Prometheus are those of its default translation of OTLP; a histogram's name gets the
  suffixes `_bucket`, `_sum` and `_count`.
- A metric has at most {DEFAULT_MAX_SERIES:,} series in one process, or `Telemetry(max_series=...)`.
  The rest shares one series, with the label `otel.metric.overflow`, and each use of it counts in
  `pipeline.telemetry.dropped` with the reason `series`. The first telemetry on a meter provider
  sets the limit. Names of pipelines that arrive with messages, error types, steps and states have
  lower limits of 32 or 64; the rest is `_OTHER`.
- All durations share the bounds of their buckets between 5 ms and 60 s, each at most 1.15 times the
  one below; those of lag, waits, retries and sagas go on like this up to 900 s. A quantile in that
  range is wrong by less than 15 %, whatever the distribution. In Prometheus, a histogram has
  {min(_PARTS)} to {max(_PARTS)} series for each set of labels: its buckets, sum and count.
  Where a backend stores native histograms, it is one series with
  `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=base2_exponential_bucket_histogram`;
  the dashboards do not read that. Views can choose fewer bounds. Either costs more CPU time,
  because the SDK aggregates then: `python -m benchmarks.duration_buckets` measures it.
- `message.type` is the message's `ce_type`, or what `Telemetry(message_type=...)` returns. The
  metrics of a process together name its first {MAX_MESSAGE_TYPES} types; the rest is `_OTHER`. So
  each set of the other labels has at most {MAX_MESSAGE_TYPES + 2} series, one of them untyped.
  `Telemetry(message_type_label=False)` or `{TYPE_LABEL_VARIABLE}=off`
  omits the label. `message.kind` is `event` or `command`, where `Telemetry(message_kinds=...)`
  declares the topic; it adds no series.
- Only the lag monitor has series by partition. It keeps the 10,000 most urgent ones, or
  `LagMonitor(max_series=...)`; the rest is one series `_OTHER`. `python -m tracing lag --by-topic`
  and `LagMonitor(partitions=False)` omit partitions. A group has one series for each status and
  each cause.
- `pipeline.out_of_order` exists if `Telemetry(order_check=...)`, or the environment variable
  `PIPELINE_TRACING_ORDER_CHECK=on`, asks for it. Each consumer checks what it handles itself. It
  remembers its last {MAX_KEYS:,} keys or more, as salted 64-bit hashes, and misses the fault of a
  key that it has not handled for longer. It remembers as many events: one that is sent again even
  later, behind newer ones of its key, counts. One new key in 10^14 is mistaken for another one.
"""


@click.command("metrics")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the document METRICS.md.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for machines.")
def metrics_command(*, as_markdown: bool, as_json: bool) -> None:
    """List all metrics with their labels and their names in Prometheus."""
    from tracing.cli.tables import print_table

    if as_markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other")
    if as_markdown:
        click.echo(markdown(), nl=False)
    elif as_json:
        click.echo(json.dumps(document(), indent=2))
    else:
        print_table(_table(), console())


def markdown() -> str:
    """Return the document METRICS.md."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(_cells(metric) for metric in catalog.METRICS)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{_HEAD}\n{table}\n"


def document() -> list[dict[str, Any]]:
    """Return the catalogue as data for JSON."""
    return [
        {
            "name": metric.name,
            "kind": metric.kind,
            "unit": metric.unit,
            "labels": list(metric.labels),
            "prometheus": metric.prometheus,
            "prometheus_labels": list(metric.prometheus_labels),
            "buckets": list(metric.buckets),
            "description": metric.description,
        }
        for metric in catalog.METRICS
    ]


def _cells(metric: Metric) -> tuple[str, ...]:
    return (
        f"`{metric.name}`",
        metric.kind,
        metric.unit,
        ", ".join(f"`{label}`" for label in metric.labels),
        f"`{metric.prometheus}`",
        metric.description,
    )


def _table() -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("metric", "in Prometheus", "kind", "labels"):
        table.add_column(heading)
    for metric in catalog.METRICS:
        unit = "" if metric.unit.startswith("{") else f", {metric.unit}"
        kind, labels = metric.kind + unit, " ".join(metric.prometheus_labels)
        table.add_row(metric.name, metric.prometheus, kind, labels)
    return table
