"""The telemetry of a service whose counts of schemas are all looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tracing.schemas.decoding import Meter
from tracing import Telemetry

if TYPE_CHECKING:
    from tracing.testing import Capture


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def telemetry(capture: Capture, meter: Meter) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=meter.provider,
        logger_provider=capture.logger_provider,
    )
