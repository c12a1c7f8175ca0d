"""A crafted dead letter cannot choose where it is replayed to, and does not stop the others."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_pipeline.broker import create_topics
from tests.tracing.dlq.cluster import Cluster
from tracing import DeadLetters, Provenance, Telemetry, TracedProducer
from tracing.delivery.dead_letter_names import TOPIC, DeadLetterNames
from tracing.dlq import Connection, Letter, letters, replay
from tracing.dlq.origins import Origins
from tracing.headers.dead_letter import OFFSET, PARTITION
from tracing.kafka.transport import is_topic_name
from tracing.testing import InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Collection

    from tracing.headers.codec import Header

TOPICS = {"a", "a.b", "orders", "orders-eu", "orders.payment.dlq", "secrets", "__consumer_offsets"}
TEMPLATES = (TOPIC, "{group}-{topic}", "dead.{topic}_{group}", "{topic}{group}.dlq")
NAMES = st.text("ab.-_", min_size=1, max_size=6).filter(
    lambda name: is_topic_name(name) and not name.startswith("__")
)


def provenance(topic: str, group: str, **changes: Any) -> Provenance:
    values: dict[str, Any] = {
        "topic": topic, "partition": 0, "offset": 1, "timestamp_ms": 1, "group": group,
        "exception": "E", "message": "", "attempts": 1, "first_failed_at_ms": 1, "failed_at_ms": 1,
    }  # fmt: skip
    return Provenance(**{**values, **changes})


def dead_letter(place: str, topic: str, group: str, **changes: Any) -> Letter:
    return lying_in(place, provenance(topic, group, **changes).headers())


def lying_in(place: str, headers: list[Header]) -> Letter:
    record = ConsumerRecord[Any, Any](
        place,
        0,
        0,
        1,
        0,
        b"k",
        b"v",
        None,
        1,
        1,
        tuple(headers),  # type: ignore[arg-type]  # bytes
    )
    return Letter.of(record)


@pytest.mark.parametrize(
    ("place", "topic", "group"),
    [
        ("orders.payment.dlq", "orders", "payment"),
        ("a.b.c.dlq", "a.b", "c"),
        ("a.x.c.dlq", "a", "x.c"),
        # A group that reads dead letters and gives one up.
        ("orders.payment.dlq.mend.dlq", "orders.payment.dlq", "mend"),
    ],
)
def test_a_dead_letter_in_the_dead_letter_topic_of_its_topic_and_group_is_accepted(
    place: str, topic: str, group: str
) -> None:
    assert Origins(TOPICS).refusal(dead_letter(place, topic, group)) is None


@pytest.mark.parametrize(
    ("place", "topic", "group"),
    [
        ("orders.payment.dlq", "secrets", "payment"),
        ("orders.payment.dlq", "orders", "shipping"),
        ("orders.payment.dlq", "orders.payment.dlq", "payment"),
        ("orders.payment.dlq", "order", "s.payment"),
        ("orders.payment.dlq", "payment", "orders"),
        ("orders.payment.dlq", "orders.payment", ""),
        ("orders..dlq", "orders", ""),
        ("orders-eu.payment.dlq", "orders", "payment"),
        ("orders-eu.payment.dlq", "orders", "-eu.payment"),
        ("a.b.c.dlq", "a", "b.c"),
        ("__consumer_offsets.payment.dlq", "__consumer_offsets", "payment"),
        ("orders.payment.dlq", "\u043erders", "payment"),
        ("orders.payment.dlq", "orders\u200b", "payment"),
        ("orders.payment.dlq", "ORDERS", "payment"),
        ("orders.payment.dlq", "orders\x00", "payment"),
        ("orders.payment.dlq", "orders/../secrets", "payment"),
        ("orders.payment.dlq", ".", "orders.payment"),
        ("orders.payment.dlq", "..", "payment"),
        ("orders.payment.dlq", "o" * 5000, "payment"),
        ("orders.payment.dlq", "orders", "p" * 5000),
        ("orders.payment.dlq", "{topic}", "{group}"),
        ("gone.payment.dlq", "gone", "payment"),
    ],
)
def test_a_dead_letter_of_another_topic_than_it_names_is_refused(
    place: str, topic: str, group: str
) -> None:
    crafted = dead_letter(place, topic, group)

    assert crafted.provenance is None or Origins(TOPICS).refusal(crafted)


@pytest.mark.parametrize("crafted_header", [PARTITION, OFFSET])
def test_a_dead_letter_without_partition_or_offset_is_refused(crafted_header: str) -> None:
    headers = [
        (name, b"-1" if name == crafted_header else value)
        for name, value in provenance("orders", "payment").headers()
    ]
    crafted = lying_in("orders.payment.dlq", headers)

    assert "no partition and offset" in (Origins(TOPICS).refusal(crafted) or "")


def test_of_two_possible_topics_a_named_one_is_accepted() -> None:
    ambiguous = dead_letter("a.b.c.dlq", "a", "b.c")

    refusal = Origins(TOPICS).refusal(ambiguous) or ""
    assert "add --topic a, which selects all that came from a unless --id or --group" in refusal
    assert Origins(TOPICS, named={"a"}).refusal(ambiguous) is None
    assert Origins(TOPICS - {"a.b"}).refusal(ambiguous) is None


@settings(deadline=None)
@given(
    template=st.sampled_from(TEMPLATES),
    topics=st.sets(NAMES, max_size=4),
    place=NAMES.map(lambda name: f"{name}.dlq") | NAMES,
    topic=NAMES,
    group=NAMES,
    genuine=st.booleans(),
)
def test_a_dead_letter_is_accepted_only_for_the_topic_whose_dead_letters_lie_there(
    template: str, topics: Collection[str], place: str, topic: str, group: str, *, genuine: bool
) -> None:
    names = DeadLetterNames(template, is_topic_name)
    if genuine:
        topics, place = {*topics, topic}, names.of(topic, group)
    crafted = dead_letter(place, topic, group)
    refusal = Origins(topics, template=template).refusal(crafted)

    # A record that names the topic that it lies in is no dead letter, and never sent.
    if refusal is None and crafted.provenance is not None:
        assert topic in topics
        assert place == names.of(topic, group)
        assert names.source(place, topics) is not None
    if genuine:
        # Only a longer topic that fits as well refuses a genuine dead letter.
        longest = names.source(place, topics)
        assert longest is not None
        assert (refusal is None) == (len(longest[0]) <= len(topic))
        assert Origins(topics, template=template, named={topic}).refusal(
            dead_letter(place, topic, group)
        ) is None  # fmt: skip


@settings(deadline=None)
@given(template=st.sampled_from(TEMPLATES), topic=NAMES, group=NAMES)
def test_a_name_is_parsed_as_dead_letters_build_it(template: str, topic: str, group: str) -> None:
    names = DeadLetterNames(template, is_topic_name)
    producer = TracedProducer(InMemoryProducer(InMemoryBroker()), Telemetry("orders"))
    name = DeadLetters(producer, topic=template).topic_of(topic, group)

    assert name == names.of(topic, group)
    assert names.names(name)
    assert group == names.group(name, topic)


@pytest.mark.parametrize(
    "template",
    [
        "", "{topic}", "{group}.dlq", "{topic}.{group}.{x}", "{0}", "{topic.x}{group}", "{",
        "{topic:.1}.{group}", "{topic[0]}.{group}", "{topic}.{group:_<5}", "{topic!s}.{group}",
    ],
)  # fmt: skip
def test_an_invalid_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="topic="):
        DeadLetterNames(template, is_topic_name)


@pytest.mark.parametrize(
    ("template", "name"), [("", ""), ("{topic}/{group}", "topic/group"), ("ä", "ä")]
)
def test_a_template_of_names_that_no_topic_can_have_says_so(template: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^topic='{template}' gives names such as '{name}', "):
        DeadLetterNames(template, is_topic_name)


@pytest.mark.kafka
@pytest.mark.integration
class TestOnKafka:
    """The commands, with crafted dead letters among genuine ones."""

    async def craft(self, cluster: Cluster, victim: str) -> None:
        await cluster.fill()
        await create_topics(cluster.servers, {victim: 1})
        async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
            for crafted in (
                provenance(victim, "payment"),
                provenance(cluster.topic, "shipping"),
                provenance(cluster.topic, "payment", offset=10_000),
                provenance(cluster.topic, "payment", partition=7),
            ):
                await producer.send_and_wait(
                    cluster.of_payment, b"evil", partition=1, headers=crafted.headers()
                )

    async def test_crafted_dead_letters_are_refused_and_the_others_replayed(
        self, kafka_servers: str
    ) -> None:
        cluster = Cluster(kafka_servers)
        victim = cluster.topic[:-1]
        await self.craft(cluster, victim)
        connection = Connection(kafka_servers)

        result = await replay(
            connection, letters(connection, [cluster.of_payment]), Telemetry("orders")
        )

        assert (3, 4) == (result.sent, result.failures)
        assert {1} == {dead_letter_id.partition for dead_letter_id in result.failed}
        assert [] == [why for why in result.failed.values() if "Error" in why]
        assert not any(record.value == b"evil" for record in await cluster.records())
        cluster.topic = victim
        assert [] == await cluster.records()

    def test_the_commands_list_them(
        self, kafka_servers: str, capsys: pytest.CaptureFixture[str]
    ) -> None:

        cluster = Cluster(kafka_servers)
        asyncio.run(self.craft(cluster, cluster.topic[:-1]))
        place = f"{cluster.of_payment}/1/0"

        assert 0 == cluster.run("list", "--topic", cluster.of_payment)
        assert place in capsys.readouterr().out
        assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--json")
        listed = json.loads(capsys.readouterr().out)
        assert 2 == listed["refused"]
        assert place in listed["refusals"]
        assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each")
        assert 2 == capsys.readouterr().out.count("not replayed: it names")
        assert 0 == cluster.run("show", place)
        assert "not_replayed" in capsys.readouterr().out
        assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--dry-run", "--json")
        assert 2 == json.loads(capsys.readouterr().out)["refused"]
        assert 1 == cluster.run("replay", "--topic", cluster.of_payment, "--yes", "--json")
        captured = capsys.readouterr()
        document = json.loads(captured.out)
        assert (3, 4, False) == (
            document["replayed"],
            document["failed"],
            document["complete"],
        )
        assert "4 dead letters could not be replayed" in captured.err

    async def test_own_names_of_dead_letter_topics_need_their_template(
        self, kafka_servers: str
    ) -> None:

        cluster = Cluster(kafka_servers)
        own = f"dead-{cluster.topic}-payment"
        await create_topics(kafka_servers, {cluster.topic: 2, own: 1})
        async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
            await cluster.write_originals(producer)
            origin = provenance(cluster.topic, "payment")
            await producer.send_and_wait(own, b"v", headers=origin.headers())

        template = ("--dead-letter-topic", "dead-{topic}-{group}")
        arguments = ("replay", "--topic", cluster.topic, "--yes")
        await asyncio.to_thread(cluster.run, *arguments)
        assert [] == await cluster.records()
        assert 0 == await asyncio.to_thread(cluster.run, *arguments, *template)
        assert [b"v"] == [record.value for record in await cluster.records()]
        purge = ("purge", "--topic", own, "--all", "--yes")
        assert 2 == await asyncio.to_thread(cluster.run, *purge)
        assert 0 == await asyncio.to_thread(cluster.run, *purge, *template)
