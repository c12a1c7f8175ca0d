"""The catalogue of metrics as a table: Markdown for documents, plain data for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracing.metrics import catalog
from tracing.metrics.cardinality import DEFAULT_MAX_SERIES

if TYPE_CHECKING:
    from tracing.metrics.metric import Metric

HEADINGS: Final = ("metric", "kind", "unit", "labels", "in Prometheus", "what it says")

_HEAD: Final = f"""\
# Metrics

Made from `tracing/metrics/catalog.py` by `python -m tracing metrics --markdown`.

- Labels are OpenTelemetry attributes; in Prometheus their dots are underscores. One that does not
  apply is absent, for example `error.type` where nothing failed. There are no ids, keys or payloads
  in labels: ids live on spans, to which exemplars lead.
- Names in Prometheus are those of its default translation of OTLP; to the name of a histogram,
  `_bucket`, `_sum` and `_count` are added.
- A metric has at most {DEFAULT_MAX_SERIES:,} series in one process, or `Telemetry(max_series=...)`.
  Further ones share one, with the label `otel.metric.overflow`; each time that one is asked for
  counts in `pipeline.telemetry.dropped` with the reason `series`. The first telemetry on a meter
  provider decides. Pipelines that come with the messages,
  error types, steps and states have narrower bounds of 32 or 64; the rest is `_OTHER`.
- Only the lag monitor has series by partition. It keeps 10,000, or `LagMonitor(max_series=...)`,
  the most urgent ones; the rest is one series `_OTHER`. `python -m tracing lag --by-topic` and
  `LagMonitor(partitions=False)` do without partitions.
"""


def markdown() -> str:
    """The whole document, as it is committed."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(_cells(metric) for metric in catalog.METRICS)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{_HEAD}\n{table}\n"


def document() -> list[dict[str, Any]]:
    """The catalogue for machines."""
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
