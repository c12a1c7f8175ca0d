"""The orchestrator on its database: commands, durable state, timers, spans and metrics."""

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
    saga = await shown(desk.context.database, "o-1", observed=False)
    assert saga is not None
    return saga.state


async def _kept(desk: Desk) -> str:
    async with desk.context.database.connect() as connection:
        return str(await connection.scalar(text("SELECT state FROM place_order")))


async def test_a_saga_sends_one_command_after_the_other_until_it_completes(
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


async def test_a_declined_saga_compensates_and_cancels_the_order(
    at_work: AtWork, order: Order
) -> None:
    async with at_work() as desk:
        await desk.take(
            OrderPlaced(order), StockReserved(order, "r"), PaymentDeclined(order, "card declined")
        )
        assert "release-inventory" == await _state(desk)
        await desk.take(StockReleased(order), OrderCancelled(order, "card declined"))
        assert ["ReleaseInventory", "CancelOrder"] == (await desk.commands())[2:]
        saga = await shown(desk.context.database, "o-1", observed=False)
    assert saga is not None
    assert ("compensated", "card declined") == (saga.state, saga.reason)
    assert [
        ("reserve-inventory", "ReserveInventory", False, "ok"),
        ("charge-card", "ChargeCard", False, "rejected"),
        ("release-inventory", "ReleaseInventory", True, "ok"),
        ("cancel-order", "CancelOrder", True, "ok"),
    ] == [(step.step, step.command, step.compensation, step.outcome) for step in saga.steps]


async def test_a_completed_saga_keeps_neither_card_nor_address(
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


async def test_a_duplicate_event_sends_no_duplicate_command(at_work: AtWork, order: Order) -> None:
    async with at_work() as desk:
        for _ in range(2):
            await desk.take(OrderPlaced(order), StockReserved(order, "r"))
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()


async def test_a_command_without_an_answer_is_repeated_and_then_compensated(
    at_work: AtWork, order: Order
) -> None:
    async with at_work(SOON) as desk:
        await desk.take(OrderPlaced(order))

        async def compensating() -> bool:
            return "release-inventory" == await _state(desk)

        await eventually(compensating)
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
        saga = await shown(desk.context.database, "o-1", observed=False)
    assert saga is not None
    assert ("cancel-order",) == saga.to_undo
    assert "the saga of order o-1 has failed and needs a human" in caplog.text


async def test_timers_outlive_the_orchestrator(at_work: AtWork, order: Order) -> None:
    async with at_work(dataclasses.replace(SOON, step_s=0.5)) as desk:
        await desk.take(OrderPlaced(order))
    async with at_work(SOON) as desk:

        async def asked_again() -> bool:
            return ["ReserveInventory", "ReserveInventory 2"] == (await desk.commands())[:2]

        await eventually(asked_again)


async def test_after_a_restart_answers_are_read_before_timers_fire(
    at_work: AtWork, order: Order
) -> None:
    slow = dataclasses.replace(SOON, step_s=0.3)
    async with at_work(slow) as desk:
        await desk.take(OrderPlaced(order))
    await asyncio.sleep(0.5)  # the timer is due while no orchestrator runs
    async with at_work(slow) as desk:
        await asyncio.sleep(0.1)  # the time a consumer needs to read the waiting events
        await desk.take(StockReserved(order, "r"))
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()


async def test_commands_of_a_timer_belong_to_the_trace_and_flow_of_the_saga(
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


async def test_a_transition_whose_commands_cannot_be_sent_is_rolled_back(
    at_work: AtWork, order: Order, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise ConnectionError

    async with at_work() as desk:
        with monkeypatch.context() as broken:
            broken.setattr(type(desk.context.outbox), "hand_over_in", fail)
            with pytest.raises(ConnectionError):
                await desk.take(OrderPlaced(order))
        assert None is await shown(desk.context.database, "o-1", observed=False)
        assert 0 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")
        await desk.take(OrderPlaced(order))
        assert ["ReserveInventory"] == await desk.commands()
        assert 1 == await asyncio.to_thread(capture.metric, "pipeline.saga.started")


async def test_a_business_rejection_is_rejected_and_a_missing_answer_is_an_error(
    at_work: AtWork, order: Order, capture: Capture
) -> None:
    async with at_work(SOON) as desk:
        await desk.take(
            OrderPlaced(order), StockReserved(order, "r"), PaymentDeclined(order, "card declined")
        )

        async def failed() -> bool:
            return "failed" == await _state(desk)

        await eventually(failed)
    ended = {
        span.name: (span.status.status_code.name, (span.attributes or {}).get("pipeline.outcome"))
        for span in capture.spans()
    }
    assert ("UNSET", "ok") == ended["saga.step place-order/reserve-inventory"]
    assert ("UNSET", "rejected") == ended["saga.step place-order/charge-card"]
    assert ("ERROR", "error") == ended["saga.step place-order/release-inventory"]
    assert ("ERROR", None) == ended["saga place-order"]


async def test_metrics_come_from_the_database_also_after_a_restart(
    at_work: AtWork, order: Order
) -> None:
    second = dataclasses.replace(order, order_id="o-2")
    async with at_work() as desk:
        await desk.take(OrderPlaced(order), OrderPlaced(second), StockRejected(order, "sold out"))
        await desk.take(OrderCancelled(order, "sold out"))
    with Capture("orchestrator") as capture:
        telemetry = Telemetry("orders", meter_provider=capture.meter_provider)
        async with at_work(telemetry=telemetry) as desk:

            def metric(name: str, **labels: str) -> Any:
                return capture.metric(name, {"saga": "place-order", **labels})

            def figures() -> list[Any]:
                return [
                    metric("pipeline.saga.started"),
                    metric("pipeline.saga.ended"),
                    metric("pipeline.saga.ended", outcome="compensated"),
                    metric("pipeline.saga.compensations", step="cancel-order"),
                    metric("pipeline.saga.active"),
                    metric("pipeline.saga.active", state="reserve-inventory"),
                    metric("pipeline.saga.overdue"),
                ]

            assert [2, 1, 1, 1, 1, 1, 0] == await asyncio.to_thread(figures)
            age = await asyncio.to_thread(metric, "pipeline.saga.oldest_age")
            assert 0 < age < 60
        # The database is closed; the last export has its last values.
        assert [2, 1, 1, 1, 1, 1, 0] == await asyncio.to_thread(figures)


async def test_an_unconfirmed_shipment_is_recalled_before_money_and_stock_are_returned(
    at_work: AtWork, order: Order
) -> None:
    async with at_work(dataclasses.replace(SOON, compensation_s=5.0)) as desk:
        await desk.take(OrderPlaced(order), StockReserved(order, "r"), PaymentCharged(order, "p"))

        async def compensating() -> bool:
            return "cancel-shipment" == await _state(desk)

        await eventually(compensating)
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


async def test_the_orchestrator_waits_for_an_unavailable_database_and_loses_no_event(
    at_work: AtWork, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_work() as desk:
        await desk.take(OrderPlaced(order))
        with monkeypatch.context() as away:
            failed: list[int] = []

            def fail(*_args: object, **_options: object) -> list[bool]:
                failed.append(1)
                raise OperationalError("select", {}, ConnectionResetError())

            away.setattr(type(desk.context.inbox), "accept_all_in", fail)
            taking = asyncio.create_task(desk.take(StockReserved(order, "r")))
            await eventually(lambda: len(failed) > 1)
        await taking
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()


async def test_a_broken_saga_does_not_delay_the_timers_of_others(
    at_work: AtWork, order: Order, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_work(SOON) as desk:
        await desk.take(OrderPlaced(order))
        async with desk.context.database.begin() as connection:
            await connection.execute(text("UPDATE place_order SET state = 'broken'"))
        await desk.take(OrderPlaced(dataclasses.replace(order, order_id="o-2")))

        async def asked_again() -> bool:
            repeated = [
                message.order.order_id
                for message, _ in await desk.sent()
                if message is not None and getattr(message, "attempt", 1) > 1
            ]
            return "o-2" in repeated

        await eventually(asked_again)
    assert 1 == caplog.text.count("the timeout of order o-1's saga cannot be handled")


async def test_spans_end_when_the_store_says_that_the_steps_ended(
    at_work: AtWork, order: Order, capture: Capture
) -> None:
    async with at_work() as desk:
        await desk.take(OrderPlaced(order), StockRejected(order, "sold out"))
        await desk.take(OrderCancelled(order, "sold out"))
        saga = await shown(desk.context.database, "o-1", observed=False)
    assert saga is not None
    steps = {
        span.name.rpartition("/")[2]: round(
            ((span.end_time or 0) - (span.start_time or 0)) / 1e9, 3
        )
        for span in capture.spans()
        if span.name.startswith("saga.step")
    }
    assert {step.step: step.took_s for step in saga.steps} == steps


async def test_a_slow_shop_gives_its_sagas_more_time_and_cancels_no_order_because_of_that(
    at_work: AtWork, order: Order
) -> None:
    hurried = dataclasses.replace(PATIENT, saga_s=0.05)
    async with at_work(hurried) as desk:
        await desk.take(OrderPlaced(order))
    moments = iter((0.0, *[1e6] * 100_000))
    pace = Pace(most=1e9, clock=lambda: next(moments))
    # Another order has waited for its first answer for a long time.
    pace.asked("o-0")
    # A short step timeout means a short grace time, so that the saga's timer fires.
    async with at_work(dataclasses.replace(hurried, step_s=0.01), pace=pace) as desk:

        async def postponed() -> bool:
            async with desk.context.database.connect() as connection:
                due = await connection.scalar(text("SELECT deadline_ns FROM place_order"))
                status_deadline = await connection.scalar(select(SAGA_TABLES.sagas.c.deadline_ns))
            return bool(due == status_deadline and due > time.time_ns())

        assert await eventually(postponed, timeout_s=60)
        await desk.take(StockReserved(order, "r"))
        assert ["ReserveInventory", "ChargeCard"] == await desk.commands()
