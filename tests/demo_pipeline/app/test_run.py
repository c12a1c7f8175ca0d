from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, cast

import pytest
from aiokafka import AIOKafkaProducer

import tracing
from demo_pipeline.__main__ import main
from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.app.run_record import RunRecord, unreadable_orders
from demo_pipeline.broker import BrokerError, EmbeddedBroker, create_topics
from demo_pipeline.domain.commands import ReserveInventory, ShipOrder
from demo_pipeline.domain.deadlines import QUICK
from demo_pipeline.domain.topics import ORDERS, PARTITIONS
from demo_pipeline.report import RunResult, check_traces
from demo_pipeline.report.delivery import deliveries
from demo_pipeline.report.facts import number_points, read_spans
from demo_pipeline.report.sagas import Saga, sum_up_sagas
from demo_pipeline.runtime.faults import Faults
from demo_pipeline.runtime.scenarios import SCENARIOS
from demo_pipeline.services import SERVICES

if TYPE_CHECKING:
    from pathlib import Path

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.scenarios import Scenario


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


def _sagas(result: RunResult, name: str) -> list[Saga]:
    sagas = sum_up_sagas(result.metrics, read_spans(result.spans))
    return [saga for saga in sagas if saga.name == name]


def _out_of_order(result: RunResult) -> list[float]:
    points = number_points(result.metrics, {"pipeline.out_of_order"})
    return [point.value for _, _, point in points]


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
    assert _out_of_order(result)
    assert not any(_out_of_order(result))


@pytest.mark.integration
async def test_a_second_run_on_the_same_cluster_counts_only_its_own_orders() -> None:
    async with EmbeddedBroker() as broker:
        first = await run(_options(broker.bootstrap_servers, orders=5), _Steps())
        second = await run(_options(broker.bootstrap_servers, orders=5), _Steps())
    for outcome in (first, second):
        assert () == outcome.problems
        assert () == check_traces(outcome.result)
    assert set() == set(first.result.order_ids) & set(second.result.order_ids)


@pytest.mark.integration
async def test_poison_is_dead_lettered_by_every_reader_and_other_orders_go_on() -> None:
    outcome = await run(_options(orders=12, scenario="poison"), _Steps())

    lost = unreadable_orders(outcome.result.spans)
    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    # Of twelve events, the third one is spoiled; the thirteenth would be the next.
    assert 1 == len(lost)
    assert [
        ("analytics", {"tracing.UndecodableRecord": 1}),
        ("notification", {"tracing.UndecodableRecord": 1}),
        ("orchestrator", {"tracing.UndecodableRecord": 1}),
    ] == [
        (delivery.group, dict(delivery.dead_letters))
        for delivery in deliveries(outcome.result.metrics)
        if delivery.dead_letters
    ]


@pytest.mark.kafka
@pytest.mark.integration
async def test_an_outage_is_retried_and_its_last_failures_are_dead_lettered(
    kafka_servers: str,
) -> None:
    outcome = await run(_options(kafka_servers, orders=60, scenario="payment-outage"), _Steps())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    # On a slow machine other groups may have had duplicates, which do not matter here.
    (payment,) = (each for each in deliveries(outcome.result.metrics) if each.dead_letters)
    error = "demo_pipeline.runtime.faults.CardProviderUnreachableError"
    assert ("payment", "payment.commands") == (payment.group, payment.topic)
    assert payment.retries[error] > payment.dead_letters[error] > 0
    # The saga has repeated the dead-lettered commands.
    assert frozenset() == unreadable_orders(outcome.result.spans)
    (saga,) = _sagas(outcome.result, "place-order")
    assert (60, 60) == (saga.started, saga.completed)


@pytest.mark.kafka
@pytest.mark.integration
async def test_records_that_are_sent_twice_are_applied_once(kafka_servers: str) -> None:
    outcome = await run(_options(kafka_servers, orders=12, scenario="duplicates"), _Steps())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    skipped = {each.group for each in deliveries(outcome.result.metrics) if each.duplicates}
    # The other groups need not count any duplicates.
    assert {"orders", "orchestrator", "payment", "shipping", "analytics"} <= skipped
    # An event that is sent again is not out of order.
    assert not any(_out_of_order(outcome.result))
    (saga,) = _sagas(outcome.result, "place-order")
    assert (12, 12, 0) == (saga.started, saga.completed, saga.active)
    assert frozenset() == unreadable_orders(outcome.result.spans)


@pytest.mark.integration
async def test_a_second_partitioner_puts_the_events_of_customers_out_of_order() -> None:
    outcome = await run(_options(orders=16, scenario="out-of-order"), _Steps())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    assert {"analytics", "notification", "observer", "orchestrator"} == {
        each.group
        for each in deliveries(outcome.result.metrics)
        if each.out_of_order and each.topic == ORDERS
    }
    faults = {
        (event.attributes or {})["pipeline.out_of_order.fault"]
        for span in outcome.result.spans
        for event in span.events
        if event.name == "pipeline.out_of_order"
    }
    assert {"partition_changed"} == faults
    (saga,) = _sagas(outcome.result, "place-order")
    assert (16, 16) == (saga.started, saga.completed)


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
        with pytest.raises(
            Exception, match=r"service (notification|orchestrator|analytics) failed: Exc"
        ):
            await run(_options(broker.bootstrap_servers), _Steps())


@pytest.mark.integration
async def test_declined_sagas_are_compensated_and_customers_are_notified() -> None:
    outcome = await run(_options(orders=10, scenario="payment-declines"), _Steps())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    (placed,) = _sagas(outcome.result, "place-order")
    (notified,) = _sagas(outcome.result, "order-notification")
    assert (10, 8, 2, 0) == (placed.started, placed.completed, placed.compensated, placed.failed)
    assert (10, 10) == (notified.started, notified.completed)
    assert {"release-inventory": 2, "cancel-order": 2} == {
        step.name: step.ok for step in placed.steps if step.compensation
    }
    (charged,) = (step for step in placed.steps if step.name == "charge-card")
    assert (8, 2, 0) == (charged.ok, charged.rejected, charged.errors)


@pytest.mark.integration
async def test_sagas_that_are_overdue_because_of_slow_shipping_complete() -> None:
    outcome = await run(_options(orders=24, scenario="slow-shipping"), _Steps())

    assert () == outcome.problems
    (placed,) = _sagas(outcome.result, "place-order")
    assert (24, 24) == (placed.started, placed.completed)
    assert 0 < placed.overdue < 24


@pytest.mark.integration
async def test_stuck_sagas_become_overdue_fail_and_are_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcome = await run(_options(orders=6, scenario="stuck-saga"), _Steps())

    assert () == outcome.problems
    (placed,) = _sagas(outcome.result, "place-order")
    assert (6, 5, 1, 1) == (placed.started, placed.completed, placed.failed, placed.overdue)
    (stuck,) = (step for step in placed.steps if step.name == "release-inventory")
    assert (0, 1) == (stuck.ok, stuck.errors)
    assert "has failed and needs a human: release-inventory got no answer" in caplog.text


@pytest.mark.integration
async def test_on_a_slow_machine_no_healthy_order_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurried = dataclasses.replace(QUICK, saga_s=2.0, step_s=0.7)
    story = dataclasses.replace(SCENARIOS["steady"], deadlines=hurried)
    monkeypatch.setitem(cast("dict[str, Scenario]", SCENARIOS), "steady", story)
    before = Faults.before

    async def slowly(faults: Faults, message: Message) -> None:
        # Three times the deadline of a saga on an idle machine.
        if isinstance(message, ReserveInventory) and message.attempt == 1:
            await asyncio.sleep(3.0)
        await before(faults, message)

    monkeypatch.setattr(Faults, "before", slowly)
    outcome = await run(_options(orders=2), _Steps())

    assert () == outcome.problems
    (placed,) = _sagas(outcome.result, "place-order")
    assert (2, 2, 0) == (placed.started, placed.completed, placed.compensated)


@pytest.mark.integration
async def test_orders_that_do_not_end_are_reported_as_problems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(faults: Faults, message: Message) -> None:
        if isinstance(message, ShipOrder):
            await asyncio.Event().wait()

    monkeypatch.setattr(Faults, "before", never)
    monkeypatch.setattr("demo_pipeline.app.bootstrap._DRAIN_S", 0.1)
    options = dataclasses.replace(_options(orders=1), timeout_s=0.1)
    outcome = await run(options, _Steps())

    (problem,) = outcome.result.problems
    assert outcome.problems == outcome.result.problems
    assert "1 of 1 order did not end" in problem


async def test_a_run_that_fails_leaves_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo_pipeline.app.run.REACH_S", 0.2)
    record = RunRecord("steady")
    options = dataclasses.replace(_options("127.0.0.1:1"), timeout_s=1)
    with pytest.raises(BrokerError):
        await run(options, _Steps(), record)
    assert ("steady", ("why",), ()) == (
        (result := record.result(["why"])).scenario,
        result.problems,
        result.order_ids,
    )
