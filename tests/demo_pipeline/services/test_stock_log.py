from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from demo_pipeline.domain import stock
from demo_pipeline.domain.commands import ReleaseInventory, ReserveInventory
from demo_pipeline.domain.events import StockRejected, StockReleased, StockReserved
from demo_pipeline.domain.stock import StockChange
from demo_pipeline.runtime.errors import DemoError, UsageError
from demo_pipeline.services import stock_history, stock_log
from demo_pipeline.services.inventory import RESERVATIONS, RESERVED
from demo_pipeline.services.stock_log import SNAPSHOT_EVERY, load, lock, save
from demo_pipeline.services.stock_tables import EVENTS, SNAPSHOTS, STOCK
from tests.demo_pipeline.services.stock_scene import StockScene, order_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

FIRST = {"cup": 100, "kettle": 100}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[StockScene]:
    monkeypatch.setenv("INVENTORY_SNAPSHOT_EVERY", "5")
    with StockScene(FIRST) as scene:
        yield scene


def _reserve(scene: StockScene, orders: int, first: int = 1) -> None:
    for number in range(first, first + orders):
        scene.handle(ReserveInventory(order_of(f"o-{number}", kettle=1)))


def _log(scene: StockScene, sku: str) -> list[str]:
    return [
        f"{event.sequence} {event.change} {event.quantity} {event.order_id or ''}".strip()
        for event in scene.events(sku)
    ]


def test_the_log_says_what_happened_to_a_product(scene: StockScene) -> None:
    order, refused = order_of("o-1", kettle=2), order_of("o-2", kettle=200)
    for attempt in (1, 2):
        scene.handle(ReserveInventory(order, attempt))
        scene.handle(ReserveInventory(refused, attempt))
    for attempt in (1, 2):
        scene.handle(ReleaseInventory(order, attempt))

    assert ["1 received 100", "2 reserved 2 o-1", "3 released 2 o-1"] == _log(scene, "kettle")
    assert ["1 received 100"] == _log(scene, "cup")


def test_an_event_has_the_time_at_which_it_was_recorded(
    scene: StockScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo_pipeline.services.inventory.time_ns", lambda: 2**62)
    scene.handle(ReserveInventory(order_of("o-1", kettle=2, cup=1)))

    assert 2**62 == scene.events("kettle")[-1].at_ns == scene.events("cup")[-1].at_ns


def test_a_snapshot_is_made_after_every_few_events(scene: StockScene) -> None:
    _reserve(scene, 12)

    assert [(5, 96), (10, 91)] == [
        (state.sequence, state.available) for state in scene.snapshots("kettle")
    ]


def test_events_before_the_newest_snapshot_are_not_read(scene: StockScene) -> None:
    _reserve(scene, 12)
    scene.execute(delete(EVENTS).where(EVENTS.c.sku == "kettle", EVENTS.c.sequence <= 10))

    order = order_of("o-13", kettle=88)
    assert (StockReserved(order, "reservation-o-13"),) == scene.handle(ReserveInventory(order))
    assert 0 == scene.loaded("kettle").state.available


def test_without_a_snapshot_the_stock_is_the_same(scene: StockScene) -> None:
    _reserve(scene, 12)
    before = scene.loaded("kettle").state
    scene.execute(delete(SNAPSHOTS))

    assert before == scene.loaded("kettle").state
    assert 0 == scene.loaded("kettle").snapshot


def test_snapshots_of_another_version_of_the_fold_are_ignored_and_made_again_at_the_start(
    scene: StockScene,
) -> None:
    _reserve(scene, 9)
    # As if the fold that made them had counted wrongly.
    scene.execute(update(SNAPSHOTS).values(fold_version=stock.FOLD_VERSION + 1))
    scene.execute(update(SNAPSHOTS).values(state=func.replace(SNAPSHOTS.c.state, "100", "999")))

    assert (0, 91) == (scene.loaded("kettle").snapshot, scene.loaded("kettle").state.available)
    scene.set_up(FIRST)
    assert (10, 91) == (scene.loaded("kettle").snapshot, scene.loaded("kettle").state.available)


@pytest.mark.parametrize("damaged", ["", "{}", '{"sequence": "?"}', '{"sequence": 9}'])
def test_a_damaged_snapshot_is_logged_and_does_no_harm(
    damaged: str, scene: StockScene, caplog: pytest.LogCaptureFixture
) -> None:
    _reserve(scene, 12)
    scene.execute(update(SNAPSHOTS).values(state=damaged))

    assert 88 == scene.loaded("kettle").state.available
    assert ["snapshot 10 of 'kettle' is damaged: its events are read instead"] == [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ]


def test_the_stock_of_a_database_without_a_log_opens_its_log_at_the_start() -> None:
    with StockScene({}) as scene:
        scene.execute(insert(STOCK).values(sku="kettle", available=42))
        scene.execute(insert(STOCK).values(sku="discontinued", available=7))
        scene.set_up(FIRST)
        scene.set_up(FIRST)

        assert ["1 opened 42"] == _log(scene, "kettle")
        assert ["1 opened 7"] == _log(scene, "discontinued")
        assert ["1 received 100"] == _log(scene, "cup")
        assert {"cup": 100, "kettle": 42, "discontinued": 7} == scene.available()


def test_orders_that_are_older_than_the_log_are_answered_and_released_as_before() -> None:
    with StockScene({}) as scene:
        scene.execute(insert(STOCK).values(sku="kettle", available=98))
        scene.execute(insert(RESERVATIONS).values(order_id="o-1", state=RESERVED))
        scene.set_up(FIRST)
        order = order_of("o-1", kettle=2)

        assert (StockReserved(order, "reservation-o-1"),) == scene.handle(ReserveInventory(order))
        for attempt in (1, 2):
            assert (StockReleased(order),) == scene.handle(ReleaseInventory(order, attempt))
        assert ["1 opened 98", "2 released 2 o-1"] == _log(scene, "kettle")
        assert 100 == scene.loaded("kettle").state.available


def test_the_first_order_opens_a_log_that_the_start_did_not(scene: StockScene) -> None:
    scene.execute(insert(STOCK).values(sku="jug", available=3))
    scene.handle(ReserveInventory(order_of("o-1", jug=2)))

    assert ["1 opened 3", "2 reserved 2 o-1"] == _log(scene, "jug")
    assert 1 == scene.available()["jug"]


def test_a_stock_that_something_else_has_changed_is_logged_and_corrected_by_the_next_event(
    scene: StockScene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.execute(update(STOCK).where(STOCK.c.sku == "kettle").values(available=7))
    _reserve(scene, 2)

    assert 98 == scene.available()["kettle"]
    (warning,) = caplog.messages
    assert warning.startswith("the current stock of 'kettle' is 7, but its events have 100,")


def test_a_product_that_does_not_exist_is_sold_out_and_gets_no_log(scene: StockScene) -> None:
    order = order_of("o-1", kettle=1, unknown=1)

    assert (StockRejected(order, "sold out: unknown"),) == scene.handle(ReserveInventory(order))
    assert [] == scene.events("unknown")
    assert FIRST == scene.available()


def test_two_writers_that_do_not_see_each_other_cannot_both_store_an_event(
    scene: StockScene,
) -> None:
    def reserve_all(connection: Connection) -> None:
        products = load(lock(["kettle"], connection), connection)
        # Another instance, as if there were no lock.
        connection.execute(
            insert(EVENTS).values(
                sku="kettle", sequence=2, change="reserved", quantity=100, at_ns=0
            )
        )
        products["kettle"].record(StockChange.RESERVED, 100, 0)
        save(products.values(), connection)

    with pytest.raises(IntegrityError):
        scene.run(reserve_all)
    assert ["1 received 100"] == _log(scene, "kettle")


def test_a_long_stream_is_rebuilt_page_by_page(
    scene: StockScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_history, "_PAGE", 4)
    _reserve(scene, 12)

    assert scene.loaded("kettle").state == scene.rebuilt("kettle")
    assert list(range(1, 14)) == [event.sequence for event in scene.events("kettle")]


def test_by_default_there_is_a_snapshot_after_every_twenty_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("INVENTORY_SNAPSHOT_EVERY", raising=False)
    assert 20 == SNAPSHOT_EVERY == stock_log.snapshot_every()


@pytest.mark.parametrize("wrong", ["0", "-1", "2.5", "often", "9" * 5000])
def test_an_impossible_number_of_events_is_refused_at_the_start(
    wrong: str, scene: StockScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVENTORY_SNAPSHOT_EVERY", wrong)
    with pytest.raises(UsageError, match=r"INVENTORY_SNAPSHOT_EVERY is .* use a whole number"):
        scene.set_up(FIRST)


def test_a_broken_log_ends_the_start_with_its_product_and_reason(
    scene: StockScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    _reserve(scene, 6)
    scene.execute(delete(EVENTS).where(EVENTS.c.sku == "kettle", EVENTS.c.sequence == 3))
    scene.execute(delete(SNAPSHOTS))
    with pytest.raises(DemoError, match="the stock of kettle cannot be rebuilt: event 4 follows"):
        scene.set_up(FIRST)


def test_a_command_takes_as_many_statements_for_three_products_as_for_one(
    scene: StockScene,
) -> None:
    with scene.counted() as one:
        scene.handle(ReserveInventory(order_of("o-1", kettle=1)))
    with scene.counted() as two:
        scene.handle(ReserveInventory(order_of("o-2", kettle=1, cup=1)))

    assert 5 == len(one) == len(two)


def test_loading_finds_snapshots_and_events_in_an_index(scene: StockScene) -> None:
    with scene.counted() as statements:
        scene.run(lambda connection: load(FIRST, connection))
    plans = [scene.plan(statement) for statement in statements]

    assert 2 == len(plans)
    assert not [step for plan in plans for step in plan if step.startswith("SCAN")], plans
    assert 2 == sum("stock_events" in step and "sequence>?" in step for step in plans[1]), plans


def test_a_snapshot_counts_as_many_events_as_it_stands_for(scene: StockScene) -> None:
    _reserve(scene, 12)
    with scene.engine.connect() as connection:
        rows = connection.execute(select(SNAPSHOTS.c.sequence, SNAPSHOTS.c.at_ns)).all()
    times = {event.sequence: event.at_ns for event in scene.events("kettle")}

    assert rows
    assert all(times[sequence] == at_ns for sequence, at_ns in rows)
