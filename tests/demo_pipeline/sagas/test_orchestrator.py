"""The orchestrator on its database: commands, durable state, timers, and what is told of it all."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context, attach, detach
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from demo_pipeline.app.saga_status import shown
from demo_pipeline.domain.deadlines import PATIENT
from demo_pipeline.domain.events import (
    CardRefunded,
    Order,
    OrderCancelled,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    ShipmentCancelled,
    StockRejected,
    StockReleased,
    StockReserved,
)
from demo_pipeline.domain.pace import Pace
from demo_pipeline.services.orchestrator import SAGA_TABLES
from tracing import Telemetry
from tracing.headers.flow import in_flow
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from tests.demo_pipeline.sagas.conftest import AtWork, Desk

SOON = dataclasses.replace(
    PATIENT, step_s=0.1, step_attempts=2, compensation_s=0.1, compensation_attempts=2
)


async def _state(desk: Desk) -> str:
    found = await shown(desk.context.database, "o-1", observed=False)
    assert found is not None
    return found.state


async def _kept(desk: Desk) -> str:
    async with desk.context.database.connect() as connection:
        return str(await connection.scalar(text("SELECT state FROM place_order")))


async def test_a_saga_gives_one_command_after_the_other_until_it_is_completed(
    at_work: AtWork, order: Order
) -> None:
    async with at_work() as desk:
        await desk.take(
            OrderPlaced(order),
            StockReserved(order, "r"),
            PaymentCharged(order, "p"),
            OrderShipped(order, "s"),
        )
        assert ["ReserveInventory", "ChargeCard", "ShipOrder"] == await desk.commands()
        assert "completed" == await _state(desk)


async def test_a_saga_that_is_declined_undoes_what_was_done_and_cancels_the_order(
    at_work: AtWork, order: Order
) -> None:
    async with at_work() as desk:
        await desk.take(
            OrderPlaced(order), StockReserved(order, "r"), PaymentDeclined(order, "card declined")
        )
        assert "release-inventory" == await _state(desk)
        await desk.take(StockReleased(order), OrderCancelled(order, "card declined"))
        assert ["ReleaseInventory", "CancelOrder"] == (await desk.commands())[2:]
        found = await shown(desk.context.database, "o-1", observed=False)
    assert found is not None
    assert ("compensated", "card declined") == (found.state, found.reason)
    assert [
        ("reserve-inventory", "ReserveInventory", False, "ok"),
        ("charge-card", "ChargeCard", False, "rejected"),
        ("release-inventory", "ReleaseInventory", True, "ok"),
        ("cancel-order", "CancelOrder", True, "ok"),
    ] == [(step.step, step.command, step.compensation, step.outcome) for step in found.steps]


async def test_a_saga_that_has_ended_well_keeps_nothing_to_pay_with_and_no_address(
    at_work: AtWork, order: Order
) -> None:
    async with at_work() as desk:
        await desk.take(OrderPlaced(order), StockReserved(order, "r"), PaymentCharged(order, "p"))
        assert "card-07" in await _kept(desk)
        await desk.take(OrderShipped(order, "s"))
        kept = await _kept(desk)
    assert "user-07" in kept
    assert "card-07" not in kept
    assert "8 Street" not in kept


async def test_an_event_that_comes_again_gives_no_command_again(
    at_work: AtWork, order: Order
) -> None:
    async with at_work() as desk:
        for _ in range(2):
            await desk.take(OrderPlaced(order), StockReserved(order, "r"))
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()


async def test_what_gets_no_answer_is_asked_for_again_and_then_undone(
    at_work: AtWork, order: Order
) -> None:
    async with at_work(SOON) as desk:
        await desk.take(OrderPlaced(order))

        async def turned_back() -> bool:
            return "release-inventory" == await _state(desk)

        await eventually(turned_back)
        assert ["ReserveInventory", "ReserveInventory 2", "ReleaseInventory"] == (
            await desk.commands()
        )[:3]


async def test_a_compensation_without_an_answer_fails_and_holds_the_order(
    at_work: AtWork, order: Order, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_work(SOON) as desk:
        await desk.take(OrderPlaced(order), StockRejected(order, "sold out: kettle"))

        async def failed() -> bool:
            return "failed" == await _state(desk)

        await eventually(failed)
        assert ["CancelOrder", "CancelOrder 2", "HoldOrder"] == (await desk.commands())[1:]
        found = await shown(desk.context.database, "o-1", observed=False)
    assert found is not None
    assert ("cancel-order",) == found.to_undo
    assert "the saga of order o-1 has failed and needs a human" in caplog.text


async def test_timers_outlive_the_orchestrator(at_work: AtWork, order: Order) -> None:
    async with at_work(dataclasses.replace(SOON, step_s=0.5)) as desk:
        await desk.take(OrderPlaced(order))
    async with at_work(SOON) as desk:

        async def asked_again() -> bool:
            return ["ReserveInventory", "ReserveInventory 2"] == (await desk.commands())[:2]

        await eventually(asked_again)


async def test_after_a_restart_answers_are_read_before_timers_go_off(
    at_work: AtWork, order: Order
) -> None:
    slow = dataclasses.replace(SOON, step_s=0.3)
    async with at_work(slow) as desk:
        await desk.take(OrderPlaced(order))
    await asyncio.sleep(0.5)  # the time is up while nobody is there
    async with at_work(slow) as desk:
        await asyncio.sleep(0.1)  # what a consumer needs to read what came meanwhile
        await desk.take(StockReserved(order, "r"))
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()


async def test_what_a_timer_sends_belongs_to_the_trace_and_flow_of_the_saga(
    at_work: AtWork, order: Order, capture: Capture
) -> None:
    tracer = capture.tracer_provider.get_tracer("test")
    async with at_work(SOON) as desk:
        origin = str(int(time.time() * 1000) - 42_000)
        flow = {"pipeline.name": "orders", "pipeline.origin": origin}
        token = attach(Context(in_flow(flow)))
        with tracer.start_as_current_span("process orders.events") as span:
            await desk.take(OrderPlaced(order))
        detach(token)

        async def asked_again() -> bool:
            return 1 < len(await desk.commands())

        await eventually(asked_again)
        (_, first), (_, second) = (await desk.sent())[:2]
    trace_id = f"{span.get_span_context().trace_id:032x}".encode()
    assert trace_id == (first["traceparent"] or b"")[3:35] == (second["traceparent"] or b"")[3:35]
    assert first["baggage"] == second["baggage"]
    assert f"pipeline.origin={origin}".encode() in (second["baggage"] or b"")


async def test_what_cannot_be_sent_did_not_happen(
    at_work: AtWork, order: Order, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: object, **_options: object) -> None:
        raise ConnectionError

    async with at_work() as desk:
        with monkeypatch.context() as broken:
            broken.setattr(type(desk.context.outbox), "add", fail)
            with pytest.raises(ConnectionError):
                await desk.take(OrderPlaced(order))
        assert None is await shown(desk.context.database, "o-1", observed=False)
        assert 0 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        await desk.take(OrderPlaced(order))
        assert ["ReserveInventory"] == await desk.commands()
        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")


async def test_a_business_no_is_rejected_and_silence_is_an_error(
    at_work: AtWork, order: Order, capture: Capture
) -> None:
    async with at_work(SOON) as desk:
        await desk.take(
            OrderPlaced(order), StockReserved(order, "r"), PaymentDeclined(order, "card declined")
        )

        async def failed() -> bool:
            return "failed" == await _state(desk)

        await eventually(failed)
    told = {
        span.name: (span.status.status_code.name, (span.attributes or {}).get("pipeline.outcome"))
        for span in capture.spans()
    }
    assert ("UNSET", "ok") == told["saga.step place-order/reserve-inventory"]
    assert ("UNSET", "rejected") == told["saga.step place-order/charge-card"]
    assert ("ERROR", "error") == told["saga.step place-order/release-inventory"]
    assert ("ERROR", None) == told["saga place-order"]


async def test_metrics_are_those_of_the_database_also_after_a_restart(
    at_work: AtWork, order: Order
) -> None:
    second = dataclasses.replace(order, order_id="o-2")
    async with at_work() as desk:
        await desk.take(OrderPlaced(order), OrderPlaced(second), StockRejected(order, "sold out"))
        await desk.take(OrderCancelled(order, "sold out"))
    with Capture("orchestrator") as capture:
        telemetry = Telemetry("orders", meter_provider=capture.meter_provider)
        async with at_work(telemetry=telemetry) as desk:

            def told(name: str, **labels: str) -> Any:
                return capture.metric(name, {"saga": "place-order", **labels})

            def figures() -> list[Any]:
                return [
                    told("pipeline.saga.started"),
                    told("pipeline.saga.ended"),
                    told("pipeline.saga.ended", outcome="compensated"),
                    told("pipeline.saga.compensations", step="cancel-order"),
                    told("pipeline.saga.active"),
                    told("pipeline.saga.active", state="reserve-inventory"),
                    told("pipeline.saga.overdue"),
                ]

            assert [2, 1, 1, 1, 1, 1, 0] == await asyncio.to_thread(figures)
            age = await asyncio.to_thread(told, "pipeline.saga.oldest_age")
            assert 0 < age < 60
        # The store is gone; the last export has what it said last.
        assert [2, 1, 1, 1, 1, 1, 0] == await asyncio.to_thread(figures)


async def test_a_shipment_in_doubt_is_called_back_before_money_and_stock_go_back(
    at_work: AtWork, order: Order
) -> None:
    async with at_work(dataclasses.replace(SOON, compensation_s=5.0)) as desk:
        await desk.take(OrderPlaced(order), StockReserved(order, "r"), PaymentCharged(order, "p"))

        async def turned_back() -> bool:
            return "cancel-shipment" == await _state(desk)

        await eventually(turned_back)
        events: list[Any] = [
            OrderShipped(order, "s"),
            ShipmentCancelled(order),
            CardRefunded(order),
            StockReleased(order),
            OrderCancelled(order, "ship-order: no answer"),
        ]
        await desk.take(*events)
        assert ["CancelShipment", "RefundCard", "ReleaseInventory", "CancelOrder"] == (
            await desk.commands()
        )[4:]
        assert "compensated" == await _state(desk)


async def test_a_database_that_is_away_is_waited_for_and_loses_no_event(
    at_work: AtWork, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_work() as desk:
        await desk.take(OrderPlaced(order))
        with monkeypatch.context() as away:
            failed: list[int] = []

            async def fail(*_args: object, **_options: object) -> bool:
                failed.append(1)
                raise OperationalError("select", {}, ConnectionResetError())

            away.setattr(type(desk.context.inbox), "accept", fail)
            taking = asyncio.create_task(desk.take(StockReserved(order, "r")))
            await eventually(lambda: len(failed) > 1)
        await taking
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()


async def test_a_saga_that_cannot_be_moved_on_time_keeps_no_other_one_waiting(
    at_work: AtWork, order: Order, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_work(SOON) as desk:
        await desk.take(OrderPlaced(order))
        async with desk.context.database.begin() as connection:
            await connection.execute(text("UPDATE place_order SET state = 'broken'"))
        await desk.take(OrderPlaced(dataclasses.replace(order, order_id="o-2")))

        async def asked_again() -> bool:
            found = [
                message.order.order_id
                for message, _ in await desk.sent()
                if message is not None and getattr(message, "attempt", 1) > 1
            ]
            return "o-2" in found

        await eventually(asked_again)
    assert 1 == caplog.text.count("the timeout of order o-1's saga cannot be handled")


async def test_spans_end_when_the_store_says_they_did(
    at_work: AtWork, order: Order, capture: Capture
) -> None:
    async with at_work() as desk:
        await desk.take(OrderPlaced(order), StockRejected(order, "sold out"))
        await desk.take(OrderCancelled(order, "sold out"))
        found = await shown(desk.context.database, "o-1", observed=False)
    assert found is not None
    steps = {
        span.name.rpartition("/")[2]: round(
            ((span.end_time or 0) - (span.start_time or 0)) / 1e9, 3
        )
        for span in capture.spans()
        if span.name.startswith("saga.step")
    }
    assert {step.step: step.took_s for step in found.steps} == steps


async def test_a_slow_shop_gives_its_sagas_more_time_and_no_order_is_cancelled_for_it(
    at_work: AtWork, order: Order
) -> None:
    hurried = dataclasses.replace(PATIENT, saga_s=0.05)
    async with at_work(hurried) as desk:
        await desk.take(OrderPlaced(order))
    moments = iter((0.0, *[1e6] * 100_000))
    pace = Pace(most=1e9, clock=lambda: next(moments))
    # Another order waits for its first answer, and has done so for long.
    pace.asked("o-0")
    # Nothing is waited for at first here, so that the saga's timer goes off.
    async with at_work(dataclasses.replace(hurried, step_s=0.01), pace=pace) as desk:

        async def postponed() -> bool:
            async with desk.context.database.connect() as connection:
                due = await connection.scalar(text("SELECT deadline_ns FROM place_order"))
                told = await connection.scalar(select(SAGA_TABLES.sagas.c.deadline_ns))
            return bool(due == told and due > time.time_ns())

        assert await eventually(postponed, timeout_s=60)
        await desk.take(StockReserved(order, "r"))
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()
