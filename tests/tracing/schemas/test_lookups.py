"""Looking up what an id stands for: never waited for, never again, and never in the way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.context import get_value
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext

from tests.tracing.schemas.decoding import VERSIONS, Meter, decode, framed
from tracing import Schemas, UndecodableRecord
from tracing.core import log
from tracing.metrics.message_types import MAX_MESSAGE_TYPES
from tracing.schemas import counts
from tracing.schemas.counts import MAX_VERSIONS
from tracing.schemas.sources import MAX_WAITING
from tracing.testing import eventually

if TYPE_CHECKING:
    from tracing import Telemetry

READ = {("shop.OrderPlaced", "2", "read"): 3}
UNKNOWN = {("unknown", "unknown", "read"): 3}


@pytest.fixture(autouse=True)
def nothing_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_warned", set())


async def _read_three(schemas: Schemas) -> list[str]:
    read = schemas.deserializer(decode)
    first = read(framed(2))
    await asyncio.sleep(0)
    return [first, read(framed(2)), read(framed(2))]


async def test_an_async_function_is_awaited_beside_the_records_and_once(
    telemetry: Telemetry, meter: Meter
) -> None:
    asked: list[int] = []
    answer = asyncio.Event()

    async def lookup(schema_id: int) -> tuple[str, int] | None:
        asked.append(schema_id)
        await answer.wait()
        return VERSIONS[schema_id]

    assert ["ok"] * 3 == await _read_three(Schemas(telemetry, lookup))
    waiting = meter.counts()
    answer.set()

    assert await eventually(lambda: meter.counts() == READ)
    assert ({}, [2]) == (waiting, asked)


async def test_a_plain_function_is_called_in_a_thread_of_its_own_and_once(
    telemetry: Telemetry, meter: Meter
) -> None:
    asked: list[tuple[int, threading.Thread]] = []
    answer = threading.Event()

    def lookup(schema_id: int) -> tuple[str, int] | None:
        asked.append((schema_id, threading.current_thread()))
        answer.wait()
        return VERSIONS[schema_id]

    try:
        assert ["ok"] * 3 == await _read_three(Schemas(telemetry, lookup))
        waiting = meter.counts()
    finally:
        answer.set()

    assert await eventually(lambda: meter.counts() == READ)
    assert {} == waiting
    ((schema_id, thread),) = asked
    assert 2 == schema_id
    assert threading.current_thread() is not thread
    assert thread.daemon


def test_a_plain_function_serves_a_program_without_an_event_loop(
    telemetry: Telemetry, meter: Meter
) -> None:
    asked = threading.Event()

    def lookup(schema_id: int) -> tuple[str, int]:
        asked.set()
        return VERSIONS[schema_id]

    schemas = Schemas(telemetry, lookup)
    read = schemas.deserializer(decode)
    read(framed(2))
    assert asked.wait(10)
    while not meter.counts():
        threading.Event().wait(0.001)

    assert {("shop.OrderPlaced", "2", "read"): 1} == meter.counts()


def test_an_async_function_without_an_event_loop_leaves_the_version_unknown(
    telemetry: Telemetry, meter: Meter
) -> None:
    async def lookup(schema_id: int) -> tuple[str, int]:
        raise AssertionError(schema_id)

    Schemas(telemetry, lookup).deserializer(decode)(framed(2))

    assert {("unknown", "unknown", "read"): 1} == meter.counts()
    assert 0 == meter.faults()


async def _fails(schema_id: int) -> tuple[str, int]:
    raise ConnectionError(f"no registry at 10.0.0.1 for {schema_id}")


async def _wrong(_schema_id: int) -> Any:
    return "orders-value"


async def _is_empty(_schema_id: int) -> Any:
    return "", 1


@pytest.mark.parametrize("lookup", [_fails, _wrong, _is_empty, lambda _: _wrong(0)])
async def test_a_lookup_that_fails_is_counted_and_logged_once_and_the_values_flow_on(
    telemetry: Telemetry, meter: Meter, lookup: Any, caplog: pytest.LogCaptureFixture
) -> None:
    schemas = Schemas(telemetry, lookup)

    assert ["ok"] * 3 == await _read_three(schemas)

    assert await eventually(lambda: meter.counts() == UNKNOWN)
    assert 1 == meter.faults()
    assert ["WARNING"] == [record.levelname for record in caplog.records]
    assert "telemetry of a schema failed" in caplog.text
    assert "10.0.0.1" not in caplog.text


async def test_an_id_that_could_not_be_looked_up_is_looked_up_again_later(
    telemetry: Telemetry, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(counts, "monotonic", lambda: now[0])
    answers: list[tuple[str, int] | None] = [None, VERSIONS[2]]

    async def lookup(_schema_id: int) -> tuple[str, int] | None:
        return answers.pop(0)

    schemas = Schemas(telemetry, lookup)
    read = schemas.deserializer(decode)
    for now[0] in (0.0, 59.0):
        read(framed(2))
        assert await eventually(lambda: sum(meter.counts().values()) > now[0] / 59)
    now[0] = 61.0
    read(framed(2))

    assert await eventually(lambda: not answers)
    expected = {("unknown", "unknown", "read"): 2, ("shop.OrderPlaced", "2", "read"): 1}
    assert await eventually(lambda: meter.counts() == expected)


async def test_so_many_lookups_wait_and_no_more(telemetry: Telemetry, meter: Meter) -> None:
    asked: list[int] = []
    answer = asyncio.Event()

    async def lookup(schema_id: int) -> tuple[str, int] | None:
        asked.append(schema_id)
        await answer.wait()
        return None

    read = Schemas(telemetry, lookup).deserializer(bytes.decode)
    for schema_id in range(2 * MAX_WAITING):
        read(framed(schema_id % 127 + 1 << 8 | schema_id % 2))
    await asyncio.sleep(0)

    assert MAX_WAITING == len(asked)
    answer.set()
    assert await eventually(lambda: sum(meter.counts().values()) == 2 * MAX_WAITING)


def test_so_many_lookups_wait_for_a_thread_and_no_more(telemetry: Telemetry, meter: Meter) -> None:
    answer = threading.Event()
    asked: list[int] = []

    def lookup(schema_id: int) -> tuple[str, int] | None:
        asked.append(schema_id)
        answer.wait()
        return None

    schemas = Schemas(telemetry, lookup)
    try:
        for schema_id in range(2 * MAX_WAITING):
            schemas.written(framed(schema_id))
        # Those that found no place; one more is under way, and not waiting.
        assert sum(meter.counts().values()) in {MAX_WAITING, MAX_WAITING - 1}
    finally:
        answer.set()
    while sum(meter.counts().values()) < 2 * MAX_WAITING:
        threading.Event().wait(0.001)
    assert len(asked) in {MAX_WAITING, MAX_WAITING + 1}


async def test_a_mapping_may_learn_of_schemas_later(telemetry: Telemetry, meter: Meter) -> None:
    versions: dict[int, tuple[str, int]] = {}
    schemas = Schemas(telemetry, versions)
    schemas.written(framed(1))
    versions[1] = ("orders-value", 1)
    schemas.written(framed(1))

    expected = {("unknown", "unknown", "written"): 1, ("orders-value", "1", "written"): 1}
    assert expected == meter.counts()


def test_a_lookup_that_found_no_event_loop_is_made_in_the_next_one(
    telemetry: Telemetry, meter: Meter
) -> None:
    async def lookup(schema_id: int) -> tuple[str, int]:
        return VERSIONS[schema_id]

    schemas = Schemas(telemetry, lookup)
    schemas.written(framed(1))

    async def once_more() -> None:
        schemas.written(framed(1))
        assert await eventually(lambda: sum(meter.counts().values()) == 2)

    asyncio.run(once_more())
    expected = {("unknown", "unknown", "written"): 1, ("shop.OrderPlaced", "1", "written"): 1}
    assert expected == meter.counts()


def test_records_are_counted_even_if_the_event_loop_ends_during_a_lookup(
    telemetry: Telemetry, meter: Meter
) -> None:
    async def lookup(_schema_id: int) -> tuple[str, int]:
        await asyncio.Event().wait()
        raise AssertionError

    async def program() -> None:
        Schemas(telemetry, lookup).written(framed(1))
        await asyncio.sleep(0)

    asyncio.run(program())

    assert {("unknown", "unknown", "written"): 1} == meter.counts()


_FORKED = """
import os, signal, threading
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tracing import Schemas, Telemetry
from tracing.testing.metric_values import points_of

reader = InMemoryMetricReader()
asked, answer = threading.Event(), threading.Event()

def lookup(schema_id):
    asked.set()
    answer.wait()
    return "orders-value", 1

schemas = Schemas(Telemetry("orders", meter_provider=MeterProvider([reader])), lookup)
schemas.written(bytes([0, 0, 0, 0, 1]))
asked.wait()
child = os.fork()
answer.set()
if not child:
    # Also if nothing is ever counted: a child would outlive the test, and be busy for ever.
    signal.alarm(30)
    schemas.written(bytes([0, 0, 0, 0, 1]))
    while not any(
        ("subject", "orders-value") in point.attributes and point.value == 1
        for point in points_of(reader.get_metrics_data())
    ):
        threading.Event().wait(0.001)
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_makes_its_own_lookups() -> None:
    subprocess.run([sys.executable, "-c", _FORKED], check=True, timeout=60)


async def test_bytes_that_cannot_be_decoded_ask_for_nothing(
    telemetry: Telemetry, meter: Meter
) -> None:
    async def lookup(schema_id: int) -> tuple[str, int]:
        raise AssertionError(schema_id)

    read = Schemas(telemetry, lookup).deserializer(decode)
    for schema_id in range(1000, 2000):
        with pytest.raises(UndecodableRecord):
            read(framed(schema_id))
    await asyncio.sleep(0)

    assert {("unknown", "unknown", "undecodable"): 1000} == meter.counts()


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_lookup_is_in_no_trace_of_a_record(telemetry: Telemetry, kind: str) -> None:
    seen: list[Any] = []

    def plain(schema_id: int) -> tuple[str, int]:
        seen.append((trace.get_current_span(), get_value("suppress_instrumentation")))
        return VERSIONS[schema_id]

    async def asynchronous(schema_id: int) -> tuple[str, int]:
        return plain(schema_id)

    lookup: Any = plain if kind == "plain" else asynchronous
    with trace.use_span(NonRecordingSpan(SpanContext(1, 1, is_remote=False))):
        Schemas(telemetry, lookup).deserializer(decode)(framed(2))
    assert await eventually(lambda: seen)

    assert [(INVALID_SPAN, True)] == seen


def test_1000_subjects_share_what_is_beyond_the_bound(telemetry: Telemetry, meter: Meter) -> None:
    subjects = {number: (f"subject-{number}", 1) for number in range(1000)}
    read = Schemas(telemetry, subjects).deserializer(len)
    for number in range(1000):
        read(framed(number))

    counted = meter.counts()
    assert MAX_MESSAGE_TYPES + 1 == len(counted)
    assert 1000 - MAX_MESSAGE_TYPES == counted["_OTHER", "_OTHER", "read"]
    assert 1 == counted["subject-0", "1", "read"]


def test_the_versions_of_a_subject_share_what_is_beyond_the_bound(
    telemetry: Telemetry, meter: Meter
) -> None:
    versions = {number: ("orders-value", number + 1) for number in range(100)}
    read = Schemas(telemetry, versions).deserializer(len)
    for number in range(100):
        read(framed(number))

    counted = meter.counts()
    assert MAX_VERSIONS + 1 == len(counted)
    assert 100 - MAX_VERSIONS == counted["orders-value", "_OTHER", "read"]


def test_counts_of_several_threads_add_up(telemetry: Telemetry, meter: Meter) -> None:
    read = Schemas(telemetry, VERSIONS).deserializer(decode)

    def work() -> None:
        for _ in range(1000):
            read(framed(2))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {("shop.OrderPlaced", "2", "read"): 4000} == meter.counts()


@pytest.mark.parametrize("lookup", ["http://registry", 5])
def test_what_cannot_be_asked_is_refused(telemetry: Telemetry, lookup: Any) -> None:
    with pytest.raises(TypeError, match="lookup must be a mapping of ids"):
        Schemas(telemetry, lookup)


def test_without_a_lookup_records_are_counted_all_the_same(
    telemetry: Telemetry, meter: Meter
) -> None:
    Schemas(telemetry).deserializer(decode)(framed(2))

    assert {("unknown", "unknown", "read"): 1} == meter.counts()
