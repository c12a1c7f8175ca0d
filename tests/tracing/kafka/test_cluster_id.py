"""Spans name the cluster by the id that its metadata brings, which costs no request."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataResponse_v1, MetadataResponse_v5

from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.kafka.client import client_info
from tracing.kafka.cluster_id import cluster_of
from tracing.messaging.destination import Destination
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients
    from tests.tracing.kafka.conftest import ZeroCodeRun
    from tracing.testing import Capture

NAME = "kafka.cluster.id"
BROKERS = [(0, "127.0.0.1", 9092, None)]


@pytest.fixture
def telemetry(capture: Capture) -> Telemetry:
    return Telemetry("orders", tracer_provider=capture.tracer_provider, commit_spans=True)


def named(capture: Capture, operation: str = "") -> list[object]:
    """The cluster that each span of an operation names."""
    return [
        (span.attributes or {}).get(NAME)
        for span in capture.spans()
        if span.name.startswith(operation)
    ]


async def real_id(servers: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def test_every_span_of_a_client_names_its_cluster(clients: Clients, capture: Capture) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(topic, group="g")

    await producer.send_and_wait(topic, b"v")
    records: list[Any] = []
    while not records:
        for polled in (await consumer.getmany(timeout_ms=200)).values():
            records += polled
    async with consumer.process(records[0]):
        pass
    async with consumer.process_batch(records):
        pass
    await consumer.commit()

    servers = getattr(clients, "servers", None)
    expected = None if servers is None else await real_id(servers)
    operations = {span.name.split()[0] for span in capture.spans()}
    assert {"send", "poll", "process", "commit"} == operations
    assert {expected} == set(named(capture))


@pytest.mark.integration
async def test_zero_code_names_the_cluster_from_the_first_span_on(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str
) -> None:
    zero_code.on()
    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        await producer.send_and_wait(topic, b"v")

    assert [await real_id(embedded_servers)] == named(zero_code.capture, "send")


class Connection:
    """Gives an in-memory client the metadata of a real one, whose answers the test decides."""

    def __init__(self, *clients: Any) -> None:
        self.client = AIOKafkaClient(bootstrap_servers="127.0.0.1:9")
        for client in clients:
            client._client = self.client

    def receives(self, cluster_id: str | None) -> None:
        self.client.cluster.update_metadata(MetadataResponse_v5(0, BROKERS, cluster_id, 0, []))


async def test_spans_follow_what_a_running_client_learns(
    telemetry: Telemetry, capture: Capture
) -> None:
    broker = InMemoryBroker()
    broker.create_topic("orders", partitions=1)
    bare = InMemoryProducer(broker)
    reader = InMemoryConsumer(
        "orders", broker=broker, auto_offset_reset="earliest", group_id="g",
        enable_auto_commit=False,
    )  # fmt: skip
    connection = Connection(bare, reader)
    async with TracedProducer(bare, telemetry) as producer, TracedConsumer(
        reader, telemetry
    ) as consumer:  # fmt: skip
        for cluster_id in (None, "first", None, "second"):
            connection.receives(cluster_id)
            await producer.send_and_wait("orders", b"v")
            (records,) = (await consumer.getmany(timeout_ms=1000)).values()
            async with consumer.process(records[0]):
                pass
            await consumer.commit()

    # An answer without an id leaves what is known.
    for operation in ("send", "poll", "process", "commit"):
        assert [None, "first", "first", "second"] == named(capture, operation)


async def test_a_broker_that_is_too_old_for_ids_changes_nothing() -> None:
    connection = Connection()
    cluster = cluster_of(connection)

    connection.client.cluster.update_metadata(MetadataResponse_v1(BROKERS, 0, []))

    assert {} == cluster.attributes
    assert {0} == {broker.nodeId for broker in connection.client.cluster.brokers()}


async def test_a_client_that_is_wrapped_often_is_listened_to_once(
    telemetry: Telemetry,
) -> None:
    connection = Connection()
    facts = cluster_of(connection)
    listener = connection.client.cluster.update_metadata
    assert facts is cluster_of(connection)
    info = client_info(connection, group=None, client_id=None, broker=facts)
    destination = Destination(telemetry, info, "orders").types[b"OrderPlaced"]
    gone = weakref.ref(Destination(telemetry, info, "payments").types[b"CardCharged"])
    before = destination.attributes
    gc.collect()

    connection.receives("one")
    once = destination.attributes
    connection.receives("one")

    assert listener is connection.client.cluster.update_metadata
    assert None is gone()
    # Spans that have started share the old mapping, and the same id makes no new one.
    assert NAME not in before
    assert {**before, NAME: "one"} == once
    assert once is destination.attributes


@pytest.mark.parametrize("strange", [None, 7, object(), InMemoryProducer(InMemoryBroker())])
def test_what_has_no_metadata_knows_no_cluster(strange: object) -> None:
    assert {} == cluster_of(strange).attributes
