"""An OpenTelemetry SDK for one service that exports by OTLP; needs the extra `otlp`.

The standard `OTEL_*` environment variables configure everything. Durations are aggregated locally
(see `tracing.metrics.histograms`) and added to what the metric exporter sends.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

try:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
except ImportError as missing:
    raise ImportError(
        "tracing.otlp needs the OpenTelemetry SDK: pip install 'pipeline-tracing[otlp]'"
    ) from missing

from tracing.core.environment import fast_paths
from tracing.export.account import ExportAccount
from tracing.export.exporters import Made, log_exporters, metric_exporters, span_exporters
from tracing.export.logs import AccountedBatchLogProcessor, AccountedLogExporter
from tracing.export.metrics import AccountedMetricReader, AggregatedMetricExporter
from tracing.export.sdk_settings import local_durations
from tracing.export.shutdown import DEFAULT_TIMEOUT_S, Ending, at_once, shut_down
from tracing.export.spans import AccountedBatchSpanProcessor, AccountedSpanExporter
from tracing.metrics.histograms import Aggregator
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.metrics.view import View
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

    from tracing.export.answers import Signal
    from tracing.export.batches import BatchQueue

__all__ = ["Providers", "configure", "configured", "counting_span_processor"]

_LEAST_S: Final = 0.05
# Waiting for a thread needs an upper bound.
_MOST_S: Final = 86_400.0
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True, slots=True)
class Providers:
    """The SDK of one service. Not global: pass it on, or set it globally yourself.

    A forked child uses it as another service instance, with an id, a queue, a connection and
    counters of its own. Call `shutdown` in the child too.
    """

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    logger_provider: LoggerProvider
    aggregator: Aggregator
    account: ExportAccount
    fast: bool
    _ending: Ending = field(repr=False, compare=False)

    def telemetry(self, pipeline: str, **options: Any) -> Telemetry:
        """Make the service's telemetry on these providers; `options` are `Telemetry`'s."""
        telemetry = Telemetry(
            pipeline,
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            aggregator=self.aggregator,
            **{"fast": self.fast, **options},
        )
        self.account.report_with(telemetry.metrics)
        return telemetry

    def force_flush(self, timeout_s: float = 10.0) -> bool:
        """Export what is pending, all signals at once.

        It blocks: in a running event loop, `await asyncio.to_thread(providers.force_flush)`.

        Args:
            timeout_s: How long it may take, in seconds; at most a day.

        Returns:
            False if something was lost or the time was over.

        Raises:
            ValueError: The time is negative, or not a number.
        """
        timeout_s = _allowed(timeout_s)
        milliseconds, before = int(timeout_s * 1000), self.account.losses()
        providers = (self.tracer_provider, self.meter_provider, self.logger_provider)
        flushes = [partial(provider.force_flush, milliseconds) for provider in providers]
        flushed = at_once(flushes, time.monotonic() + timeout_s)
        return flushed == [True] * len(flushes) and before == self.account.losses()

    def shutdown(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Export what is pending and stop; later telemetry is dropped.

        All signals are shut down at once and within the time, even where the collector is gone,
        hangs or asks for a later retry. Losses are counted, and logged in one line.

        Call it from any thread, as often as you like: the first call shuts down, the others wait.
        It blocks: in a running event loop, `await asyncio.to_thread(providers.shutdown)`. The
        interpreter calls it at its exit; a process that ends in another way, such as a child of
        `multiprocessing`, has to call it.

        Args:
            timeout_s: How long it may take, in seconds; at most a day.

        Raises:
            ValueError: The time is negative, or not a number.
        """
        shut_down((self._ending,), _allowed(timeout_s))


def _allowed(timeout_s: float) -> float:
    if not timeout_s >= 0:
        raise ValueError(f"timeout_s must be 0 or more seconds, not {timeout_s!r}")
    return min(timeout_s, _MOST_S)


def counting_span_processor(
    telemetry: Telemetry, exporter: SpanExporter | None = None
) -> SpanProcessor:
    """Make a batch span processor for a provider of your own that counts its losses.

    The SDK's `BatchSpanProcessor(OTLPSpanExporter())` only logs lost spans, and takes a redirect
    for success. This one counts them in `pipeline.telemetry.dropped`::

        provider.add_span_processor(otlp.counting_span_processor(telemetry))

    Args:
        telemetry: Counts the losses, on its meter provider.
        exporter: Where the spans go; by default the exporter that the environment asks for, which
            also counts the spans that the collector rejects.

    Raises:
        ValueError: The environment asks for an exporter or protocol that is not supported, for
            several, or for none.
        ImportError: The environment asks for gRPC and its exporter is not installed.
    """
    made = span_exporters(fast=telemetry.fast) if exporter is None else [Made(exporter)]
    if not made:
        raise ValueError(
            "OTEL_TRACES_EXPORTER=none: there is nothing to export to; leave the processor out"
        )
    if len(made) > 1:
        raise ValueError(
            "OTEL_TRACES_EXPORTER names several exporters; make a processor for each of them"
        )
    account = ExportAccount()
    account.report_with(telemetry.metrics)
    return _batches(made[0], account)


def _batches(made: Made[SpanExporter], account: ExportAccount) -> AccountedBatchSpanProcessor:
    exporter = AccountedSpanExporter(made.exporter, account, made.session)
    processor = AccountedBatchSpanProcessor(exporter, account, made.delay_ms)
    if made.pauses is not None:
        made.pauses.queue = processor.queue.waiting
    return processor


def configured(signal: Signal | None = None) -> bool:
    """Return whether the environment names an OTLP endpoint, for one signal or for all."""
    names = [_ENDPOINT]
    if signal is not None:
        names.append(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def configure(
    service_name: str | None = None,
    *,
    span_processor: SpanProcessor | None = None,
    metric_exporter: MetricExporter | None = None,
    log_processor: LogRecordProcessor | None = None,
    views: Sequence[View] = (),
    fast: bool | None = None,
) -> Providers:
    """Make the providers of one service.

    Args:
        service_name: The service's name; by default `OTEL_SERVICE_NAME`.
        span_processor: Where spans go; by default in batches to what `OTEL_TRACES_EXPORTER` names:
            `otlp` for the OTLP endpoint, `console` for trees on standard error (see
            `tracing.console`), both with a comma between them, or `none`.
        metric_exporter: Where metrics go; by default to what `OTEL_METRICS_EXPORTER` names, every
            `OTEL_METRIC_EXPORT_INTERVAL` milliseconds (60,000). The console gets JSON.
        log_processor: Where log records go; by default in batches to what `OTEL_LOGS_EXPORTER`
            names. The console gets JSON.
        views: Views of the meter provider. The SDK aggregates the durations that one of them
            changes, at its own cost.
        fast: Whether fast paths are on, as for `Telemetry`; without them, the SDK encodes spans
            and aggregates durations. By default as `PIPELINE_TRACING_FAST` says.

    Raises:
        ValueError: The environment asks for an exporter or protocol that is not supported, or
            its endpoint is not an address.
        ImportError: The environment asks for gRPC and its exporter is not installed.
    """
    resource = Resource.create({SERVICE_NAME: service_name} if service_name else {})
    fast, account = fast_paths(fast=fast), ExportAccount()
    queues: list[BatchQueue] = []
    span_processors, log_processors = [span_processor], [log_processor]
    if span_processor is None:
        spans = [_batches(made, account) for made in span_exporters(fast=fast)]
        queues += [each.queue for each in spans]
        span_processors = [*spans]
    if log_processor is None:
        logs = [
            AccountedBatchLogProcessor(
                AccountedLogExporter(made.exporter, account, made.session), account
            )
            for made in log_exporters()
        ]
        queues += [each.queue for each in logs]
        log_processors = [*logs]
    measuring = [Made(metric_exporter)] if metric_exporter is not None else metric_exporters()
    local = local_durations([made.exporter for made in measuring], views)
    aggregator = Aggregator(local.by_the_sdk, exemplars=local.exemplars)
    readers = [
        AccountedMetricReader(
            AggregatedMetricExporter(made.exporter, aggregator, account, made.session), account
        )
        for made in measuring
    ]
    # The interpreter's exit is bounded too, and does not take one signal after the other.
    tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    meter_provider = MeterProvider(
        resource=resource, metric_readers=readers, views=views, shutdown_on_exit=False
    )
    logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    for each in filter(None, span_processors):
        tracer_provider.add_span_processor(each)
    for processor in filter(None, log_processors):
        logger_provider.add_log_record_processor(processor)

    def by(deadline: float, shutdown: Callable[[], None]) -> None:
        for queue in queues:
            queue.end_by(deadline)
        shutdown()

    def stop_metrics(deadline: float) -> None:
        # Without any time left, the SDK would not even begin.
        remaining_s = max(_LEAST_S, deadline - time.monotonic())
        meter_provider.shutdown(timeout_millis=remaining_s * 1000)

    parts = (
        partial(by, shutdown=tracer_provider.shutdown),
        stop_metrics,
        partial(by, shutdown=logger_provider.shutdown),
    )
    return Providers(
        tracer_provider,
        meter_provider,
        logger_provider,
        aggregator,
        account,
        fast,
        Ending(parts, account),
    )
