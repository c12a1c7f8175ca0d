"""Helpers for tests of sagas: telemetry that is captured, and sources of health."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tracing import SagaHealth, Telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tracing.testing import Capture

S: Final = 1_000_000_000


def telemetry_on(capture: Capture, **options: Any) -> Telemetry:
    return Telemetry(
        "orders",
        **{
            "tracer_provider": capture.tracer_provider,
            "meter_provider": capture.meter_provider,
            "logger_provider": capture.logger_provider,
            **options,
        },
    )


class Source:
    """Returns one more started saga at each call; `answer` can be replaced."""

    def __init__(self, answer: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.asked = 0
        self.answer = answer or self._one_more

    async def health(self, saga: str, now_ns: int) -> SagaHealth:
        self.asked += 1
        health: SagaHealth = await self.answer()
        return health

    async def _one_more(self) -> SagaHealth:
        return SagaHealth(started=self.asked)


async def hang() -> SagaHealth:
    await asyncio.Event().wait()
    raise AssertionError


async def fail() -> SagaHealth:
    raise ConnectionError("no database")
