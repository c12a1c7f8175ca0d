"""A replay sends what its dry run has shown, once."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from httpx import ASGITransport, AsyncClient

from demo_pipeline.broker import create_topics
from tests.tracing.dlq.cluster import Cluster
from tests.tracing.dlq_web.browsing import HOST, Browser, add, places, plan_of, rows, values
from tracing import Telemetry
from tracing.dlq_web import replay_plans
from tracing.headers.dead_letter import REPLAY_GROUP

pytestmark = pytest.mark.integration


def test_a_dry_run_shows_what_goes_where_and_sends_nothing(
    cluster: Cluster, browser: Browser
) -> None:
    page = browser.post("replay", id=places(cluster, 0, 2))

    assert "Replay 2 dead letters?" in page.text
    assert [
        f"{cluster.of_payment}/0/0 {cluster.topic}, partition 1 payment ConnectionError no",
        f"{cluster.of_payment}/0/2 {cluster.topic}, partition 1 payment KeyError no",
    ] == rows(page)
    assert [] == values(cluster)


def test_a_confirmed_replay_sends_these_dead_letters_alone(
    cluster: Cluster, browser: Browser
) -> None:
    dry_run = browser.post("replay", id=places(cluster, 0, 2))
    asyncio.run(add(cluster, 2))

    page = browser.post(plan_of(dry_run))

    assert "2 dead letters replayed" in page.text
    assert ["sent", "sent"] == [row.rpartition(" ")[2] for row in rows(page)]
    assert [b"secret-1", b"secret-5"] == values(cluster)
    (record, _) = asyncio.run(cluster.records())
    assert b"payment" == dict(record.headers)[REPLAY_GROUP]
    listed = rows(browser.get("letters", topic=cluster.of_payment))
    assert 2 == sum("replayed at 20" in row for row in listed)


def test_a_form_that_is_sent_twice_replays_once(cluster: Cluster, browser: Browser) -> None:
    path = plan_of(browser.post("replay", id=places(cluster, 0)))

    for _ in range(3):
        page = browser.post(path)
        assert "1 dead letter replayed" in page.text
        assert rows(page)[0].endswith("ConnectionError sent")
        assert "1 dead letter replayed" in browser.get(path.removesuffix("/send")).text

    assert [b"secret-1"] == values(cluster)


async def test_forms_at_the_same_time_replay_once(cluster: Cluster) -> None:
    def make() -> tuple[Browser, str]:
        browser = Browser(cluster.servers, telemetry=Telemetry("dead-letters"))
        return browser, plan_of(browser.post("replay", id=places(cluster, 0, 1)))

    # Two servers have made a dry run of the same dead letters, and each form is sent three times.
    made = [await asyncio.to_thread(make) for _ in range(2)]

    async def send(browser: Browser, path: str) -> None:
        transport = ASGITransport(app=browser.client.app)
        async with AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            await client.post(
                f"{browser.secrets.base}/{path}",
                data={"form_secret": browser.secrets.form},
                headers={
                    "origin": f"http://{HOST}",
                    "cookie": f"{browser.secrets.cookie}={browser.secrets.session}",
                },
            )

    await asyncio.gather(*(send(*each) for each in made * 3))

    assert [b"secret-1", b"secret-3"] == sorted(each.value for each in await cluster.records())


def test_what_another_replay_has_sent_since_the_dry_run_is_left_out(
    cluster: Cluster, browser: Browser
) -> None:
    path = plan_of(browser.post("replay", id=places(cluster, 0, 1)))
    assert 0 == cluster.run("replay", "--id", *places(cluster, 0))

    page = browser.post(path)

    assert "1 dead letter replayed" in page.text
    assert "replayed after the dry run" in rows(page)[0]
    assert [b"secret-1", b"secret-3"] == values(cluster)


def test_dead_letters_that_were_replayed_are_sent_again_only_on_request(
    cluster: Cluster, browser: Browser
) -> None:
    assert 0 == cluster.run("replay", "--id", *places(cluster, 0))

    page = browser.post("replay", shown=places(cluster, 0, 1), all="yes")

    assert "Replay 1 dead letter?" in page.text
    assert "replayed at 20" in rows(page)[1]
    again = browser.post("replay", id=places(cluster, 0, 1), again="yes")
    assert "Replay 2 dead letters?" in again.text
    assert "2 dead letters replayed" in browser.post(plan_of(again)).text
    assert [b"secret-1", b"secret-1", b"secret-3"] == values(cluster)


def test_dead_letters_of_other_systems_need_a_tick(cluster: Cluster, browser: Browser) -> None:
    source = cluster.topic
    lies_in = f"{source}-dlt"
    options = {
        "telemetry": Telemetry("dead-letters"),
        "is_dead_letter_topic": lambda topic: topic == lies_in,
    }
    asyncio.run(_write_of_spring(cluster, lies_in))
    other = Browser(cluster.servers, **options)
    page = other.post("replay", id=f"{lies_in}/0/0")
    assert "all groups" in page.text

    assert 400 == other.post(plan_of(page)).status_code
    assert [] == values(cluster)
    assert "1 dead letter replayed" in other.post(plan_of(page), others="yes").text
    assert "1 dead letter replayed" in other.post(plan_of(page)).text
    assert [b"spring"] == values(cluster)


async def _write_of_spring(cluster: Cluster, topic: str) -> None:
    await create_topics(cluster.servers, {topic: 1})
    async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
        headers = [
            ("kafka_dlt-original-topic", cluster.topic.encode()),
            ("kafka_dlt-original-partition", (0).to_bytes(4)),
            ("kafka_dlt-original-offset", (3).to_bytes(8)),
            ("kafka_dlt-original-consumer-group", b"payment"),
            ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
        ]
        await producer.send_and_wait(topic, b"spring", b"k", headers=headers)


def test_many_dry_runs_hide_neither_a_result_nor_each_other(
    cluster: Cluster, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_plans, "_MOST", 2)
    sent = plan_of(browser.post("replay", id=places(cluster, 0)))
    browser.post(sent)
    opened = [plan_of(browser.post("replay", id=places(cluster, 1))) for _ in range(3)]

    assert "1 dead letter replayed" in browser.get(sent.removesuffix("/send")).text
    assert [404, 200, 200] == [
        browser.get(each.removesuffix("/send")).status_code for each in opened
    ]


def test_a_dry_run_warns_of_partitions_where_marks_do_not_work(
    embedded_servers: str,
) -> None:
    class Emptied(Cluster):
        async def write_originals(self, producer: AIOKafkaProducer) -> None:
            """Leave the source topic as it is after it was created anew."""

    cluster = Emptied(embedded_servers)
    asyncio.run(cluster.fill())
    emptied = Browser(cluster.servers, telemetry=Telemetry("dead-letters"))

    dry_run = emptied.post("replay", id=places(cluster, 0, 1))

    assert "2 dead letters to partitions that are empty" in dry_run.text
    assert all("all groups: the partition is empty" in row for row in rows(dry_run))
    assert "2 of them are for every group" in emptied.post(plan_of(dry_run)).text
