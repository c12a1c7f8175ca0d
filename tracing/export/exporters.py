"""The exporters that the environment asks for, by the standard `OTEL_*` variables."""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

from tracing.core.log import warn_once
from tracing.export.endpoint import check_endpoint

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

    from tracing.export.answers import Signal
    from tracing.export.session import ExportSession
    from tracing.export.span_exporter import Pauses

_OTLP: Final = "otlp"
_NONE: Final = "none"
# Metrics and logs: the SDK writes them to standard output, as JSON.
_CONSOLE: Final = "console"
# People wait for what the console shows.
_SOON_MS: Final = 100.0
_PROTOCOLS: Final = frozenset({"http/protobuf", "grpc"})
_PROVIDER: Final = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"

_METRICS_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_DELTA: Final = frozenset({"delta", "lowmemory"})
# The path of OTLP on Prometheus is `/api/v1/otlp`, on Mimir `/otlp`.
_PROMETHEUS: Final = re.compile(r"/otlp(/|$)")

Exporter = TypeVar("Exporter")


@dataclass(frozen=True, slots=True)
class Made(Generic[Exporter]):
    """An exporter, with its session and its pauses where the library made them.

    Attributes:
        exporter: The exporter.
        session: Its session.
        pauses: Its pauses.
        delay_ms: How long it lets spans wait for others, in milliseconds; `None` for the SDK's.
    """

    exporter: Exporter
    session: ExportSession | None = None
    pauses: Pauses | None = None
    delay_ms: float | None = None


def span_exporters(*, fast: bool = True) -> list[Made[SpanExporter]]:
    """Make the exporters of spans; none where the environment wants none.

    Args:
        fast: Whether the library may encode its light spans itself; else the SDK encodes all.

    Raises:
        ValueError: The environment asks for an exporter or protocol that is not supported.
        ImportError: The environment asks for gRPC and its exporter is not installed.
    """
    return [
        _trace_trees() if name == _CONSOLE else _otlp_spans(fast=fast) for name in _names("traces")
    ]


def _trace_trees() -> Made[SpanExporter]:
    from tracing.console import TraceTreeExporter  # noqa: PLC0415 - nothing for production

    return Made(TraceTreeExporter(), delay_ms=_SOON_MS)


def _otlp_spans(*, fast: bool) -> Made[SpanExporter]:
    protocol = _protocol("traces")
    if protocol == "grpc":
        return Made(_grpc("trace_exporter", "OTLPSpanExporter"))
    session = _session("traces")
    if not fast:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )

        return Made(OTLPSpanExporter(session=session), session)
    from tracing.export.span_exporter import (  # noqa: PLC0415 - gRPC does without
        LightSpanExporter,
        Pauses,
    )

    pauses = Pauses()
    return Made(LightSpanExporter(session, pauses), session, pauses)


def metric_exporters() -> list[Made[MetricExporter]]:
    """Make the exporters of metrics, as `span_exporters` makes its own."""
    return [
        Made(ConsoleMetricExporter(out=sys.stdout)) if name == _CONSOLE else _otlp_metrics()
        for name in _names("metrics")
    ]


def _otlp_metrics() -> Made[MetricExporter]:
    protocol = _protocol("metrics")
    _explain_temporality()
    if protocol == "grpc":
        return Made(_grpc("metric_exporter", "OTLPMetricExporter"))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
        OTLPMetricExporter,
    )

    session = _session("metrics")
    return Made(OTLPMetricExporter(session=session), session)


def _explain_temporality() -> None:
    """Warn where the receiver would refuse the metrics, and answer only that it failed."""
    endpoints = [os.environ.get(name, "") for name in _METRICS_ENDPOINTS]
    endpoint = next(filter(None, endpoints), "")
    preference = os.environ.get(_TEMPORALITY, "").strip().lower()
    if preference in _DELTA and _PROMETHEUS.search(endpoint):
        warn_once(
            f"metrics go to a Prometheus, which refuses those of {_TEMPORALITY}={preference} with "
            "the status 500: unset the variable, or start Prometheus with "
            "--enable-feature=otlp-deltatocumulative"
        )


def log_exporters() -> list[Made[LogRecordExporter]]:
    """Make the exporters of log records, as `span_exporters` makes its own."""
    return [
        Made(ConsoleLogRecordExporter(out=sys.stdout)) if name == _CONSOLE else _otlp_logs()
        for name in _names("logs")
    ]


def _otlp_logs() -> Made[LogRecordExporter]:
    protocol = _protocol("logs")
    if protocol == "grpc":
        return Made(_grpc("_log_exporter", "OTLPLogExporter"))
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415 - an extra
        OTLPLogExporter,
    )

    session = _session("logs")
    return Made(OTLPLogExporter(session=session), session)


def _session(signal: Signal) -> ExportSession | None:
    variables = (_PROVIDER.format(""), _PROVIDER.format(f"{signal.upper()}_"))
    if any(os.environ.get(name) for name in variables):
        warn_once(
            f"{signal} are sent by the session of a credential provider: what its collector "
            "refuses in part is not counted, and the length of its answers not bounded"
        )
        return None
    from tracing.export.session import ExportSession  # noqa: PLC0415 - gRPC does without

    return ExportSession(signal)


def _names(signal: Signal) -> list[str]:
    """Return the names of a signal's exporters, each once."""
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    text = os.environ.get(variable, "")
    names = list(dict.fromkeys(filter(None, (name.strip().lower() for name in text.split(",")))))
    if unknown := [name for name in names if name not in {_OTLP, _CONSOLE, _NONE}]:
        raise ValueError(
            f"{variable}={text}: tracing.otlp does not know {', '.join(unknown)}; it exports by "
            "otlp and console, one or both with a comma between them, or by none; pass another "
            "exporter to configure()"
        )
    if _NONE in names:
        if len(names) > 1:
            raise ValueError(f"{variable}={text}: none excludes the others")
        return []
    return names or [_OTLP]


def _protocol(signal: Signal) -> str:
    """Return the protocol of OTLP for a signal."""
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


def _grpc(module: str, name: str) -> Any:
    package = f"opentelemetry.exporter.otlp.proto.grpc.{module}"
    try:
        return getattr(importlib.import_module(package), name)()
    except ImportError as missing:
        raise ImportError(
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs its exporter: "
            "pip install opentelemetry-exporter-otlp-proto-grpc"
        ) from missing
