"""How long work waits for its database before it begins, apart from the work itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry import metrics

import tracing

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

WAIT: Final = "db.client.connection.wait_time"
"""The metric, as OpenTelemetry's conventions for databases name it."""
RESOURCE: Final = "database"
"""What a handler waits for, where the work belongs to one."""

_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.45.0"
_POOL: Final = "db.client.connection.pool.name"
# The conventions have none for waits. Those of durations of database calls, and two below them:
# SQLite is fast.
_BUCKETS_S: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)


class ConnectionWaits:
    """Records how long the work of one service waits for a connection. For one event loop.

    It is a metric of the service, and of a handler also a wait for a shared resource.

    Args:
        service: The service, whose database it is.
        meter_provider: Where the metric goes; by default the global one.
    """

    def __init__(self, service: str, meter_provider: MeterProvider | None = None) -> None:
        self._labels = {_POOL: service}
        meter = metrics.get_meter(
            "demo_pipeline", meter_provider=meter_provider, schema_url=_SCHEMA_URL
        )
        self._wait = meter.create_histogram(
            WAIT,
            unit="s",
            description="The time it took to obtain an open connection from the pool.",
            explicit_bucket_boundaries_advisory=_BUCKETS_S,
        )

    def waited(self, seconds: float) -> None:
        """Record that the current task got its connection, after so many seconds."""
        self._wait.record(seconds, self._labels)
        tracing.waited_for(RESOURCE, seconds)
