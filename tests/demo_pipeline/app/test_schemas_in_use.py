"""Services that use the schemas of a registry, while it answers and while it does not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.commands import ShipOrder
from demo_pipeline.domain.schemas import committed
from demo_pipeline.domain.topics import TOPIC_OF
from demo_pipeline.report import check_traces
from demo_pipeline.runtime import registry as registry_module
from demo_pipeline.runtime.consuming import record_handler
from demo_pipeline.runtime.registry import RegisteredSchemas
from demo_pipeline.runtime.registry_client import RegistryAddress, RegistryClient
from demo_pipeline.services import SERVICES, shipping
from tests.demo_pipeline.runtime.fake_registry import FakeRegistry
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import Callable


class _Quiet:
    def step(self, what: str) -> None:
        pass

    def placed(self) -> None:
        pass

    def ended(self, orders: int) -> None:
        pass


def _options(scenario: str) -> RunOptions:
    return RunOptions(
        load=Load(orders=6, rate=20, seed=1),
        scenario=scenario,
        bootstrap_servers=None,
        kafka=False,
        http_port=0,
        timeout_s=60,
    )


@pytest.mark.integration
async def test_a_run_works_with_the_ids_of_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = FakeRegistry()
    with registry.running():
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", registry.url)
        outcome = await run(_options("steady"), _Quiet())
    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    # One client for all services, and nothing to ask after the start.
    assert 2 * len(committed().schemas) == len(registry.requests)


async def test_records_wait_in_their_order_while_the_registry_is_down_and_none_is_lost(
    open_context: Any, make_order: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_DELAYS", tracing.Retry(delay_s=0.01, max_delay_s=0.02))
    registry = FakeRegistry()
    with registry.running():
        pass
    address = RegistryAddress(registry.url)
    ids = {schema: registry.add(schema.subject, schema.text) for schema in committed().schemas}
    schema = json.loads(committed().released("ShipOrder").text)
    schema["fields"].append({"name": "express", "type": "boolean", "default": False})
    newer = registry.add("demo_pipeline.ShipOrder", json.dumps(schema))

    broker, topic = InMemoryBroker(partitions=1), TOPIC_OF[ShipOrder]
    schemas = RegisteredSchemas(RegistryClient(address), ids)
    context = dataclasses.replace(await open_context("shipping"), codec=Codec(schemas))
    telemetry = context.telemetry
    producer = tracing.TracedProducer(InMemoryProducer(broker=broker), telemetry)
    await producer.start()
    for number in (1, 2, 3):
        message = ShipOrder(make_order(f"o-{number}"))
        value = context.codec.encode(message)
        if number == 2:
            # Of a newer writer: its field comes last, after the attempt.
            value = b"\x00" + newer.to_bytes(4, "big") + value[5:] + b"\x01"
        await producer.send_and_wait(topic, value, b"user-07", headers=headers_of(message))
    bare = InMemoryConsumer(
        topic,
        broker=broker,
        group_id="shipping",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    consumer = tracing.TracedConsumer(bare, telemetry, group="shipping")
    await consumer.start()
    stop = asyncio.Event()
    consuming = asyncio.create_task(
        tracing.consume(
            consumer,
            record_handler(SERVICES["shipping"], context),
            retry=tracing.Retry(attempts=2, delay_s=0.0),
            dead_letters=tracing.DeadLetters(producer),
            stop=stop,
        )
    )
    partition = TopicPartition(topic, 0)

    async def shipped() -> int:
        async with context.database.connect() as connection:
            return await shipping.shipments(connection)

    await eventually(lambda: broker.committed("shipping", partition) == 1)
    registry.answer_with = 503, b""
    with registry.running():
        # More often than a handler is tried.
        await eventually(lambda: len(registry.requests) > 5)
        assert 1 == broker.committed("shipping", partition)
        assert 1 == await shipped()
        registry.answer_with = None
        await eventually(lambda: broker.committed("shipping", partition) == 3)
    stop.set()
    await consuming
    await schemas.aclose()
    assert 3 == await shipped()
    assert () == broker.records(f"{topic}.shipping.dlq")


@pytest.mark.integration
async def test_old_and_new_writers_and_readers_work_together_and_traces_show_their_versions() -> (
    None
):
    outcome = await run(_options("schema-evolution"), _Quiet())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    written: Counter[object] = Counter()
    read: dict[str, set[object]] = defaultdict(set)
    for span in outcome.result.spans:
        attributes = span.attributes or {}
        if attributes.get("pipeline.schema.subject") != "demo_pipeline.OrderPlaced":
            continue
        version = attributes["pipeline.schema.version"]
        if span.name.startswith("send"):
            written[version] += 1
        else:
            service = str(span.resource.attributes["service.name"])
            read[service].add((version, attributes.get("pipeline.schema.reader.version", version)))
    assert {1: 2, 2: 2, 3: 2} == written
    assert {
        "orchestrator": {(1, 1), (2, 1), (3, 1)},
        "notification": {(1, 2), (2, 2), (3, 2)},
        "analytics": {(1, 3), (2, 3), (3, 3)},
    } == read
