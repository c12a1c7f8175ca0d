"""aiokafka's own iterator is left out where it does no more than to call `getone`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, OffsetOutOfRangeError, RecordTooLargeError
from aiokafka.structs import ConsumerRecord

from tracing import TracedConsumer
from tracing.core import semconv
from tracing.kafka.next_record import only_gets_one

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tracing import Telemetry
    from tracing.testing import Capture

Got = list[ConsumerRecord[Any, Any] | Exception]


class Scripted(AIOKafkaConsumer):
    """Gets these records and errors."""

    def __init__(self, got: Got) -> None:
        super().__init__(bootstrap_servers="localhost:1")  # type: ignore[no-untyped-call]  # aiokafka
        self._got = got

    async def getone(self, *_partitions: Any) -> Any:
        next_one = self._got.pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        return next_one


class Doubling(Scripted):
    """Has an iterator of its own."""

    async def __anext__(self) -> Any:
        await super().__anext__()
        return await super().__anext__()


def _record(offset: int) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("orders", 0, offset, 1_700_000_000_000, 0, None, b"v", None, 0, 1, ())


async def _offsets(consumer: AIOKafkaConsumer, records: AsyncIterator[Any]) -> list[Any]:
    seen: list[Any] = []
    try:
        async for record in records:
            seen.append(record.offset)  # noqa: PERF401 - what came before an error counts, too
    except Exception as error:
        seen.append(type(error))
    await consumer.stop()
    return seen


@pytest.mark.parametrize(
    "got",
    [
        [_record(0), _record(1), ConsumerStoppedError()],
        [_record(0), RecordTooLargeError(), _record(1), ConsumerStoppedError()],
        [_record(0), OffsetOutOfRangeError()],
        [ValueError("an interceptor's")],
    ],
)
@pytest.mark.parametrize("kind", [Scripted, Doubling])
async def test_a_loop_sees_the_records_and_errors_that_it_sees_without_telemetry(
    got: Got, kind: type[Scripted], capture: Capture, telemetry: Telemetry
) -> None:
    bare, inner = kind([*got]), kind([*got])
    assert only_gets_one(inner) == (kind is Scripted)
    traced = TracedConsumer(inner, telemetry)

    expected = await _offsets(bare, bare)
    assert expected == await _offsets(inner, aiter(traced))
    handled = [offset for offset in expected if isinstance(offset, int)]
    assert handled == [(span.attributes or {})[semconv.OFFSET] for span in capture.spans()]
