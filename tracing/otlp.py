"""Set an OpenTelemetry SDK up for one service, exporting by OTLP; needs the extra `otlp`.

Everything is configured by the standard `OTEL_*` environment variables. Durations are aggregated
locally (see `tracing.aggregation`) and added to what the metric exporter sends.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

try:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
except ImportError as missing:
    raise ImportError(
        "tracing.otlp needs the OpenTelemetry SDK: pip install 'pipeline-tracing[otlp]'"
    ) from missing

from tracing.aggregated_export import AggregatedMetricExporter
from tracing.aggregation import Aggregator
from tracing.export_account import AccountedSpanExporter, ExportAccount
from tracing.otlp_endpoint import check_endpoint
from tracing.span_queue import AccountedBatchSpanProcessor
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

Signal = Literal["traces", "metrics", "logs"]

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SUPPORTED: Final = frozenset({"", "otlp", "none"})
_PROTOCOLS: Final = frozenset({"http/protobuf", "grpc"})


@dataclass(frozen=True, slots=True)
class Providers:
    """The SDK of one service. Not global: pass it on, or set it globally yourself."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    logger_provider: LoggerProvider
    aggregator: Aggregator
    account: ExportAccount

    def telemetry(self, pipeline: str, **options: Any) -> Telemetry:
        """Make the service's telemetry on these providers; `options` are `Telemetry`'s."""
        telemetry = Telemetry(
            pipeline,
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            aggregator=self.aggregator,
            **options,
        )
        self.account.told_by(telemetry.metrics)
        return telemetry

    def force_flush(self, timeout_s: float = 10.0) -> bool:
        """Export what is pending; false where that failed or took longer than `timeout_s`."""
        milliseconds = int(timeout_s * 1000)
        return all(
            (
                self.tracer_provider.force_flush(milliseconds),
                self.meter_provider.force_flush(milliseconds),
                self.logger_provider.force_flush(milliseconds),
            )
        )

    def shutdown(self) -> None:
        """Export what is pending and stop; later telemetry is dropped. Call it once."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()


def configured(signal: Signal | None = None) -> bool:
    """Whether the environment names an OTLP endpoint, for a signal or for all."""
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
) -> Providers:
    """Make the providers of one service.

    Args:
        service_name: The service's name; by default `OTEL_SERVICE_NAME`.
        span_processor: Where spans go; by default in batches to the OTLP endpoint.
        metric_exporter: Where metrics go; by default to the OTLP endpoint, every
            `OTEL_METRIC_EXPORT_INTERVAL` milliseconds (60,000).
        log_processor: Where log records go; by default in batches to the OTLP endpoint.

    Raises:
        ValueError: The environment asks for an exporter or protocol that is not supported, or
            its endpoint is no address.
        ImportError: The environment asks for gRPC and its exporter is not installed.
    """
    resource = Resource.create({SERVICE_NAME: service_name} if service_name else {})
    aggregator, account = Aggregator(), ExportAccount()
    if span_processor is None and (span_exporter := _span_exporter()) is not None:
        span_processor = AccountedBatchSpanProcessor(
            AccountedSpanExporter(span_exporter, account), account
        )
    if metric_exporter is None:
        metric_exporter = _metric_exporter()
    if log_processor is None and (log_exporter := _log_exporter()) is not None:
        log_processor = BatchLogRecordProcessor(log_exporter)
    tracer_provider = TracerProvider(resource=resource)
    if span_processor is not None:
        tracer_provider.add_span_processor(span_processor)
    readers = []
    if metric_exporter is not None:
        exporter = AggregatedMetricExporter(metric_exporter, aggregator, account)
        readers.append(PeriodicExportingMetricReader(exporter))
    meter_provider = MeterProvider(resource=resource, metric_readers=readers)
    logger_provider = LoggerProvider(resource=resource)
    if log_processor is not None:
        logger_provider.add_log_record_processor(log_processor)
    return Providers(tracer_provider, meter_provider, logger_provider, aggregator, account)


def _protocol(signal: Signal) -> str | None:
    """The protocol to export a signal by; `None` where it is not to be exported."""
    exporter = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
    if exporter not in _SUPPORTED:
        raise ValueError(
            f"OTEL_{signal.upper()}_EXPORTER={exporter}: tracing.otlp exports by otlp or none; "
            "pass another exporter to configure()"
        )
    if exporter == "none":
        return None
    protocol = (
        os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
        or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    if protocol not in _PROTOCOLS:
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol} is not supported; "
            f"use one of {', '.join(sorted(_PROTOCOLS))}"
        )
    check_endpoint(signal, protocol)
    return protocol


def _span_exporter() -> SpanExporter | None:
    protocol = _protocol("traces")
    if protocol is None:
        return None
    if protocol == "grpc":
        return _grpc("trace_exporter", "OTLPSpanExporter")  # type: ignore[no-any-return]  # by name
    from tracing.otlp_exporter import LightSpanExporter  # noqa: PLC0415 - gRPC does without

    return LightSpanExporter()


def _metric_exporter() -> MetricExporter | None:
    protocol = _protocol("metrics")
    if protocol is None:
        return None
    if protocol == "grpc":
        return _grpc("metric_exporter", "OTLPMetricExporter")  # type: ignore[no-any-return]  # by name
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
        OTLPMetricExporter,
    )

    return OTLPMetricExporter()


def _log_exporter() -> LogRecordExporter | None:
    protocol = _protocol("logs")
    if protocol is None:
        return None
    if protocol == "grpc":
        return _grpc("_log_exporter", "OTLPLogExporter")  # type: ignore[no-any-return]  # by name
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415 - an extra
        OTLPLogExporter,
    )

    return OTLPLogExporter()


def _grpc(module: str, name: str) -> Any:
    package = f"opentelemetry.exporter.otlp.proto.grpc.{module}"
    try:
        return getattr(importlib.import_module(package), name)()
    except ImportError as missing:
        raise ImportError(
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs opentelemetry-exporter-otlp-proto-grpc"
        ) from missing
