"""Time and baggage of a send are those of its moment, wherever the system's clock is set."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Final

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from tests.tracing.messaging.flat.send_world import SendWorld

_NEW_YEAR_MS: Final = 1_767_225_600_000
MOMENTS_MS: Final = [
    # A clock that was never set, as at the start of a device without a battery.
    0, 1, 999, 1000, 45_123,
    # Before 1970.
    -1, -1000, -1001,
    *(_NEW_YEAR_MS + difference for difference in (-1000, -500, -1, 0, 1, 999, 1000)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sampler", "module"), [(ALWAYS_ON, "sends"), (ALWAYS_OFF, "dropped_sends")]
)
@pytest.mark.parametrize("first_ms", MOMENTS_MS)
async def test_a_clock_may_step_to_any_moment_and_back(
    first_ms: int, sampler: Sampler, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = 0
    monkeypatch.setattr(
        f"tracing.messaging.flat.{module}.time_ns", lambda: now_ms * 1_000_000 + 999_999
    )
    world = SendWorld(sampler)

    for now_ms in [first_ms, *Random(first_ms).choices(MOMENTS_MS, k=100)]:
        await world.producer.send("orders", b"v")
        headers = dict(world.broker.records("orders")[-1].headers)

        assert _written(now_ms) == headers["ce_time"]
        assert b"pipeline.name=orders,pipeline.origin=%d" % now_ms == headers["baggage"]


def _written(now_ms: int) -> bytes:
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return moment.strftime(f"%Y-%m-%dT%H:%M:%S.{now_ms % 1000:03d}Z").encode()
