from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

import tracing
from demo_pipeline.__main__ import main
from demo_pipeline.broker import EmbeddedBroker, create_topics
from demo_pipeline.given_up import given_up
from demo_pipeline.load import Load
from demo_pipeline.report import check_traces
from demo_pipeline.report.delivery import deliveries
from demo_pipeline.run import RunOptions, run
from demo_pipeline.services import SERVICES
from demo_pipeline.topics import ORDERS, PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path


class _Steps:
    def __init__(self) -> None:
        self.accepted = 0
        self.finished = 0

    def step(self, what: str) -> None:
        pass

    def placed(self) -> None:
        self.accepted += 1

    def ended(self, orders: int) -> None:
        self.finished = orders


def _options(
    bootstrap_servers: str | None = None, *, orders: int = 10, scenario: str = "steady"
) -> RunOptions:
    return RunOptions(
        load=Load(orders=orders, rate=20, seed=1),
        scenario=scenario,
        bootstrap_servers=bootstrap_servers,
        kafka=False,
        http_port=0,
        timeout_s=60,
    )


@pytest.mark.integration
def test_a_run_ends_by_itself_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "report"
    assert 0 == main(["run", "--orders", "20", "--rate", "20", "--report", str(folder)])
    output = capsys.readouterr()
    assert "" == output.err
    assert "POST /orders" in output.out
    assert {"report.html", "traces.jsonl", "metrics.jsonl"} == {
        file.name for file in folder.iterdir()
    }
    assert "resourceSpans" in json.loads((folder / "traces.jsonl").read_text().splitlines()[0])


@pytest.mark.integration
async def test_every_order_is_in_one_trace_of_all_services() -> None:
    steps = _Steps()
    outcome = await run(_options(), steps)
    result = outcome.result
    assert () == outcome.problems
    assert (10, 10) == (steps.accepted, steps.finished)
    assert 10 == len(set(result.order_ids))
    assert tuple(SERVICES) == result.services
    assert () == check_traces(result)
    assert len(SERVICES) == len(result.metrics)


@pytest.mark.integration
async def test_a_second_run_on_the_same_cluster_counts_its_own_orders_alone() -> None:
    async with EmbeddedBroker() as broker:
        first = await run(_options(broker.bootstrap_servers, orders=5), _Steps())
        second = await run(_options(broker.bootstrap_servers, orders=5), _Steps())
    for outcome in (first, second):
        assert () == outcome.problems
        assert () == check_traces(outcome.result)
    assert set() == set(first.result.order_ids) & set(second.result.order_ids)


@pytest.mark.integration
async def test_poison_becomes_dead_letters_of_every_reader_and_the_others_go_on() -> None:
    outcome = await run(_options(orders=12, scenario="poison"), _Steps())

    lost = given_up(outcome.result.spans)
    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    # The third and the thirteenth event, of which there are twelve.
    assert 1 == len(lost)
    assert [
        ("analytics", {"msgspec.DecodeError": 1}),
        ("inventory", {"msgspec.DecodeError": 1}),
    ] == [
        (delivery.group, dict(delivery.dead_letters))
        for delivery in deliveries(outcome.result.metrics)
    ]


@pytest.mark.kafka
@pytest.mark.integration
async def test_an_outage_is_retried_and_what_it_outlasts_becomes_a_dead_letter(
    kafka_servers: str,
) -> None:
    outcome = await run(_options(kafka_servers, orders=60, scenario="payment-outage"), _Steps())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    (payment,) = deliveries(outcome.result.metrics)
    error = "demo_pipeline.faults.CardProviderUnreachableError"
    assert ("payment", "inventory.events") == (payment.group, payment.topic)
    assert payment.retries[error] > payment.dead_letters[error] > 0
    assert payment.dead_letters[error] == len(given_up(outcome.result.spans))


@pytest.mark.kafka
@pytest.mark.integration
async def test_what_is_sent_twice_is_applied_once(kafka_servers: str) -> None:
    outcome = await run(_options(kafka_servers, orders=12, scenario="duplicates"), _Steps())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    found = deliveries(outcome.result.metrics)
    assert all(delivery.duplicates == 4 for delivery in found)
    # Ten readers of four topics.
    assert 10 == len(found)
    assert frozenset() == given_up(outcome.result.spans)


@pytest.mark.integration
async def test_a_service_that_fails_ends_the_run_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no room for dead letters")

    monkeypatch.setattr(tracing.DeadLetters, "publish", refuse)
    async with EmbeddedBroker() as broker:
        await create_topics(broker.bootstrap_servers, PARTITIONS)
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
            headers = tracing.cloudevent(type="OrderPlaced", id="1", source="/test")
            await producer.send_and_wait(ORDERS, b"poison", headers=headers)
        with pytest.raises(Exception, match=r"service (inventory|analytics) failed: Exc"):
            await run(_options(broker.bootstrap_servers), _Steps())
