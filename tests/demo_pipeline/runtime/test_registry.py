"""Schemas of a registry: at start-up, when a record needs one, and while the registry is away."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import tracing
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.events import OrderPlaced, OrderShipped
from demo_pipeline.domain.schemas import committed
from demo_pipeline.runtime import outage as outage_module
from demo_pipeline.runtime import registry as registry_module
from demo_pipeline.runtime.errors import DemoError, UsageError
from demo_pipeline.runtime.registry import RegisteredSchemas, open_schemas
from demo_pipeline.runtime.registry_client import RegistryClient, registry_address
from tests.demo_pipeline.runtime.fake_registry import FakeRegistry
from tests.demo_pipeline.runtime.records import record_with
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SUBJECT = "demo_pipeline.OrderPlaced"
UNKNOWN = 999_999


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    fake = FakeRegistry()
    with fake.running():
        pass
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", fake.url)
    monkeypatch.setattr(registry_module, "_DELAYS", tracing.Retry(delay_s=0.01, max_delay_s=0.02))
    return fake


@asynccontextmanager
async def schemas_of(registry: FakeRegistry, **options: Any) -> AsyncIterator[RegisteredSchemas]:
    """Provide the schemas of a registry that a service has not asked yet."""
    address = registry_address()
    assert address is not None
    client = RegistryClient(address, timeout_s=options.pop("timeout_s", 5.0))
    ids = {schema: registry.add(schema.subject, schema.text) for schema in committed().schemas}
    schemas = RegisteredSchemas(client, ids, **options)
    try:
        yield schemas
    finally:
        await schemas.aclose()
        await client.aclose()


def newer_schema() -> str:
    """Return a version of `OrderPlaced` that this program does not have."""
    schema = json.loads(committed().released("OrderPlaced").text)
    schema["fields"].append({"name": "gift", "type": "boolean", "default": False})
    return json.dumps(schema)


async def test_without_a_registry_schemas_have_the_committed_ids() -> None:
    async with open_schemas() as schemas:
        assert committed() is schemas


async def test_all_released_schemas_are_registered_at_the_start_in_the_order_of_their_versions(
    registry: FakeRegistry, make_order: Callable[..., Any]
) -> None:
    with registry.running():
        async with open_schemas() as schemas:
            value = Codec(schemas).encode(OrderPlaced(make_order()))
    assert [(schema.subject, schema.version, schema.text) for schema in committed().schemas] == [
        *registry.schemas.values()
    ]
    newest = schemas.id_of(committed().released("OrderPlaced"))
    assert (SUBJECT, committed().released("OrderPlaced").version) == registry.schemas[newest][:2]
    assert b"\x00" + newest.to_bytes(4, "big") == value[:5]


async def test_the_right_to_read_is_enough_where_all_schemas_are_registered(
    registry: FakeRegistry,
) -> None:
    for schema in committed().schemas:
        registry.add(schema.subject, schema.text)
    registry.writable = False
    with registry.running():
        async with open_schemas(timeout_s=0.1):
            pass
    assert all(request.endswith(schema.subject) for request, schema in
               zip(registry.requests, committed().schemas, strict=True))  # fmt: skip


async def test_records_with_known_schemas_need_no_registry(
    registry: FakeRegistry, make_order: Callable[..., Any]
) -> None:
    message = OrderShipped(make_order(), "s")
    async with schemas_of(registry) as schemas:
        codec = Codec(schemas)
        record = record_with(codec.encode(message), headers_of(message))
        assert message == await codec.decode(record)
    assert [] == registry.requests


async def test_an_unknown_schema_is_asked_for_once_however_many_records_need_it(
    registry: FakeRegistry,
) -> None:
    registry.delay_s = 0.05
    with registry.running():
        async with schemas_of(registry) as schemas:
            newer = registry.add(SUBJECT, newer_schema())
            found = await asyncio.gather(*(schemas.find(newer) for _ in range(10)))
            assert found[0] is await schemas.find(newer)
    assert 1 == len(set(found))
    assert found[0] is not None
    assert (SUBJECT, registry.schemas[newer][1]) == (found[0].subject, found[0].version)
    assert [f"GET /schemas/ids/{newer}", f"GET /schemas/ids/{newer}/versions"] == registry.requests
    assert 1 == registry.most_at_once


async def test_a_version_that_the_registry_knows_is_counted_as_such(
    registry: FakeRegistry, make_order: Callable[..., Any]
) -> None:
    placed = OrderPlaced(make_order())
    with registry.running(), Capture() as capture:
        telemetry = tracing.Telemetry("orders", meter_provider=capture.meter_provider)
        async with schemas_of(registry) as schemas:
            codec = Codec(schemas, telemetry=telemetry)
            newer = registry.add(SUBJECT, newer_schema())
            # Its field is the last one.
            value = b"\x00" + newer.to_bytes(4, "big") + (codec.encode(placed))[5:] + b"\x01"
            for _ in range(2):
                assert placed == await codec.decode(record_with(value, headers_of(placed)))
        read = {"subject": SUBJECT, "version": str(registry.schemas[newer][1]), "outcome": "read"}
        assert 2 == capture.metric("pipeline.schema.records", read)


async def test_an_id_that_the_registry_does_not_have_makes_a_record_undecodable(
    registry: FakeRegistry, make_order: Callable[..., Any]
) -> None:
    record = record_with(
        b"\x00" + UNKNOWN.to_bytes(4, "big") + b"...", headers_of(OrderPlaced(make_order()))
    )
    with registry.running():
        async with schemas_of(registry) as schemas:
            for _ in range(3):
                with pytest.raises(tracing.UnknownSchema, match="the schema with id 999999, which"):
                    await Codec(schemas).decode(record)
    # A flood of damaged records must not become a flood of requests.
    assert [f"GET /schemas/ids/{UNKNOWN}"] == registry.requests


async def test_a_schema_that_is_registered_late_is_found(registry: FakeRegistry) -> None:
    with registry.running():
        async with schemas_of(registry, missing_for_s=0.0) as schemas:
            late = max(registry.schemas) + 1
            assert None is await schemas.find(late)
            assert late == registry.add(SUBJECT, newer_schema())
            assert None is not await schemas.find(late)


async def test_an_id_that_no_registry_can_have_is_not_asked_for(registry: FakeRegistry) -> None:
    async with schemas_of(registry) as schemas:
        assert None is await schemas.find(2**31)
    assert [] == registry.requests


async def test_a_schema_that_is_no_avro_record_is_undecodable(registry: FakeRegistry) -> None:
    with registry.running():
        async with schemas_of(registry) as schemas:
            other = registry.add("another", '"string"')
            with pytest.raises(
                tracing.UndecodableRecord, match=f"id {other} is no Avro schema of a record"
            ):
                await schemas.find(other)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b"<html>"), "answers with something other than JSON"),
        ((200, b"\xff\xfe"), "answers with something other than JSON"),
        ((200, b""), "answers with other JSON than a schema registry"),
        ((200, b"[]"), "answers with other JSON than a schema registry"),
        ((200, b"{}"), "answers with other JSON than a schema registry"),
        ((200, b'{"schema": 5}'), "answers with other JSON than a schema registry"),
        ((302, b""), "answers with status 302"),
        ((401, b"{}"), "refuses access (status 401): is SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"),
        ((404, b"<html>no such page"), "answers with status 404"),
        ((404, b'{"error_code": 404, "message": "no such page"}'), "answers with status 404"),
        ((422, b'{"error_code": 42201, "message": "wrong"}'), "refuses a schema: wrong"),
        ((503, b"{}"), "answers with status 503"),
    ],
)
async def test_a_record_waits_while_the_registry_answers_garbage(
    registry: FakeRegistry, answer: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with registry.running():
        async with schemas_of(registry) as schemas:
            newer = registry.add(SUBJECT, newer_schema())
            registry.answer_with = answer
            finding = asyncio.create_task(schemas.find(newer))
            await eventually(lambda: len(registry.requests) > 3)
            assert not finding.done()
            registry.answer_with = None
            assert None is not await finding
    (record,) = caplog.records
    assert logging.WARNING == record.levelno
    assert reason in record.message
    assert f"Waiting for schema {newer}." in record.message


@pytest.mark.parametrize("status", [None, 401, 409, 422, 503])
async def test_a_registry_that_stays_away_is_mentioned_again(
    registry: FakeRegistry,
    status: int | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outage_module, "_WARN_EVERY_S", 0.0)
    async with AsyncExitStack() as stack:
        if status is not None:
            stack.enter_context(registry.running())
            registry.answer_with = status, b'{"error_code": 1, "message": "wrong"}'
        schemas = await stack.enter_async_context(schemas_of(registry))
        newer = registry.add(SUBJECT, newer_schema())
        finding = asyncio.create_task(schemas.find(newer))
        await eventually(lambda: len(caplog.messages) > 2)
        assert not finding.done()
        finding.cancel()
    assert f"Waiting for schema {newer}." in caplog.messages[0]
    assert f"Still waiting for schema {newer}, after 2 failures in " in caplog.messages[1]
    assert f"Still waiting for schema {newer}, after 3 failures in " in caplog.messages[2]


async def test_a_record_waits_while_the_registry_is_down(
    registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    async with schemas_of(registry) as schemas:
        newer = registry.add(SUBJECT, newer_schema())
        finding = asyncio.create_task(schemas.find(newer))
        await eventually(lambda: bool(caplog.records))
        assert (
            "does not answer (ConnectError): is it running, and is SCHEMA_REGISTRY_URL right?"
            in (caplog.text)
        )
        with registry.running():
            assert None is not await finding


@pytest.mark.parametrize("slowness", ["delay_s", "drip_s"])
async def test_a_record_waits_while_the_registry_is_slow(
    registry: FakeRegistry, caplog: pytest.LogCaptureFixture, slowness: str
) -> None:
    with registry.running():
        async with schemas_of(registry, timeout_s=0.2) as schemas:
            newer = registry.add(SUBJECT, newer_schema())
            setattr(registry, slowness, {"delay_s": 0.6, "drip_s": 0.05}[slowness])
            finding = asyncio.create_task(schemas.find(newer))
            await eventually(lambda: bool(caplog.records))
            setattr(registry, slowness, 0.0)
            assert None is not await finding
    assert 1 == len(caplog.records)
    assert "does not answer" in caplog.text


async def test_a_reader_that_stops_waiting_does_not_disturb_the_others(
    registry: FakeRegistry,
) -> None:
    async with schemas_of(registry) as schemas:
        newer = registry.add(SUBJECT, newer_schema())
        first, second = (asyncio.create_task(schemas.find(newer)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with registry.running():
            assert None is not await second
    assert first.cancelled()


async def test_closing_ends_all_waiting(registry: FakeRegistry) -> None:
    async with AsyncExitStack() as stack:
        schemas = await stack.enter_async_context(schemas_of(registry))
        waiting = asyncio.create_task(schemas.find(UNKNOWN))
        await asyncio.sleep(0)
    await asyncio.wait({waiting}, timeout=5)
    assert waiting.cancelled()


async def test_the_memory_for_unknown_ids_is_bounded(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_MAX_KNOWN", 3)
    with registry.running():
        async with schemas_of(registry) as schemas:
            newer = registry.add(SUBJECT, newer_schema())
            for schema_id in (newer, 1, 2, 3, newer, 1):
                await schemas.find(schema_id)
            assert None is not await schemas.find(schemas.id_of(committed().schemas[0]))
    asked = [request.rpartition("/")[2] for request in registry.requests if "ver" not in request]
    assert [str(newer), "1", "2", "3", str(newer), "1"] == asked


async def test_a_registry_that_is_down_at_the_start_is_waited_for(registry: FakeRegistry) -> None:
    async def opened() -> int:
        async with open_schemas() as schemas:
            return schemas.id_of(committed().schemas[0])

    opening = asyncio.create_task(opened())
    await asyncio.sleep(0.05)
    with registry.running():
        assert await opening in registry.schemas


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "does not answer (ConnectError): is it running, and is SCHEMA_REGISTRY_URL right?"),
        ((200, b"<html>"), "answers with something other than JSON"),
        ((200, b"{}"), "answers with other JSON than a schema registry"),
        ((401, b""), "refuses access (status 401): is SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO right?"),
        ((409, b'{"error_code": 409, "message": "not\\n compatible"}'), "a schema: not compatible"),
    ],
)
async def test_a_registry_that_is_of_no_use_at_the_start_is_an_error(
    registry: FakeRegistry, answer: Any, reason: str
) -> None:
    registry.answer_with = answer
    async with AsyncExitStack() as stack:
        if answer is not None:
            stack.enter_context(registry.running())
        with pytest.raises(DemoError) as raised:
            await stack.enter_async_context(open_schemas(timeout_s=0.1))
    assert reason in str(raised.value)


@pytest.mark.parametrize("place", ["url", "variable"])
async def test_credentials_are_sent_and_appear_nowhere(
    registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    registry.user_info = "service:se:cret/1"
    if place == "url":
        url = registry.url.replace("//", "//service:se%3Acret%2F1@")
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", url)
    else:
        monkeypatch.setenv("SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO", registry.user_info)
    with registry.running():
        async with open_schemas():
            pass
        registry.user_info = "service:another"
        with pytest.raises(DemoError) as raised:
            async with open_schemas(timeout_s=0.05):
                pass
    address = registry_address()
    for text in (caplog.text, str(raised.value), repr(address)):
        assert "cret" not in text


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8081",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://user:pass@",
        "http://a:0",
    ],
)
def test_an_address_that_is_none_is_wrong_usage(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", url)
    with pytest.raises(UsageError, match="SCHEMA_REGISTRY_URL is no address such as") as raised:
        registry_address()
    assert "pass" not in str(raised.value)


def test_a_user_without_a_password_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://a:1,http://b:2")
    monkeypatch.setenv("SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO", "secret")
    with pytest.raises(UsageError, match="is not of the form USER:PASSWORD") as raised:
        registry_address()
    assert "secret" not in str(raised.value)
