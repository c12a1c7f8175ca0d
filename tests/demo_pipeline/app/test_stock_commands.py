from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import chdir, closing
from typing import TYPE_CHECKING, Any

import pytest

from demo_pipeline.__main__ import main
from demo_pipeline.domain.commands import ReleaseInventory, ReserveInventory
from demo_pipeline.runtime.database import open_database
from demo_pipeline.services import SERVICES
from demo_pipeline.services.inventory import release, reserve
from tests.demo_pipeline.services.stock_scene import order_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# In 2023, a second apart.
START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
FILE = "inventory.sqlite3"


async def _fill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(START_NS, START_NS + 100 * SECOND_NS, SECOND_NS))
    for module in ("inventory", "stock_log"):
        monkeypatch.setattr(f"demo_pipeline.services.{module}.time_ns", lambda: START_NS)
    service = SERVICES["inventory"]
    url = f"sqlite+aiosqlite:///{folder / FILE}"
    async with open_database(service, url) as database:
        monkeypatch.setattr("demo_pipeline.services.inventory.time_ns", lambda: next(times))
        next(times)
        orders = [order_of(f"o-{number}", kettle=number) for number in range(1, 7)]
        for order in orders:
            async with database.begin() as connection:
                await connection.run_sync(
                    lambda plain, order: reserve(ReserveInventory(order), plain), order
                )
        async with database.begin() as connection:
            await connection.run_sync(lambda plain: release(ReleaseInventory(orders[-1]), plain))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("INVENTORY_SNAPSHOT_EVERY", "3")
    with monkeypatch.context() as clock:
        asyncio.run(_fill(tmp_path, clock))
    with chdir(tmp_path):
        yield tmp_path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert 0 == main(["stock", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def _change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / FILE)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.usefixtures("folder")
def test_a_product_is_shown_with_its_last_events(capsys: pytest.CaptureFixture[str]) -> None:
    assert {
        "sku": "kettle",
        "sequence": 8,
        "at": "2023-11-14T22:13:27.000000Z",
        "available": 999_985,
        "received": 1_000_000,
        "reserved": 21,
        "released": 6,
        "snapshot": 6,
        "events_read": 2,
        "events": [
            {
                "sequence": 7,
                "at": "2023-11-14T22:13:26.000000Z",
                "change": "reserved",
                "quantity": 6,
                "order_id": "o-6",
            },
            {
                "sequence": 8,
                "at": "2023-11-14T22:13:27.000000Z",
                "change": "released",
                "quantity": 6,
                "order_id": "o-6",
            },
        ],
    } == _json(capsys, "show", "kettle", "--events", "2")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("from_beginning", [False, True])
@pytest.mark.parametrize(
    ("at", "sequence", "available", "snapshot"),
    [
        ("0", 0, 0, 0),
        ("1", 1, 1_000_000, 0),
        ("4", 4, 999_994, 3),
        ("6", 6, 999_985, 6),
        ("8", 8, 999_985, 6),
        ("2023-11-14T22:13:19", 0, 0, 0),
        ("2023-11-14T22:13:20", 1, 1_000_000, 0),
        ("2023-11-14T22:13:22.999999Z", 3, 999_997, 3),
        ("2023-11-14T23:13:23+01:00", 4, 999_994, 3),
        ("2023-11-15", 8, 999_985, 6),
        ("2100-01-01", 8, 999_985, 6),
        ("0s", 8, 999_985, 6),
        ("2000w", 0, 0, 0),
    ],
)
def test_a_product_is_shown_as_it_was(
    at: str,
    sequence: int,
    available: int,
    snapshot: int,
    from_beginning: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--from-beginning"] if from_beginning else []
    shown = _json(capsys, "show", "kettle", "--at", at, *flags)

    snapshot = 0 if from_beginning else snapshot
    assert (sequence, available) == (shown["sequence"], shown["available"])
    assert (snapshot, sequence - snapshot) == (shown["snapshot"], shown["events_read"])
    assert list(range(1, sequence + 1)) == [event["sequence"] for event in shown["events"]]


@pytest.mark.usefixtures("folder")
def test_the_printed_time_of_an_event_includes_the_event(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    _change(folder, "UPDATE stock_events SET at_ns = at_ns + 999 WHERE sequence = 8")
    at = _json(capsys, "show", "kettle")["at"]

    assert 8 == _json(capsys, "show", "kettle", "--at", at)["sequence"]


@pytest.mark.usefixtures("folder")
def test_all_products_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    stock = {each["sku"]: each["available"] for each in _json(capsys, "list")}

    assert 999_985 == stock.pop("kettle")
    assert {1_000_000} == set(stock.values())
    assert 5 == len(stock)


def test_the_databases_of_another_folder_can_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chdir("/"):
        assert 999_985 == _json(capsys, "show", "kettle", "--databases", str(folder))["available"]
        assert 6 == len(_json(capsys, "list", "--databases", str(folder)))
        assert [] == _json(capsys, "verify", "--databases", str(folder))["problems"]


@pytest.mark.usefixtures("folder")
def test_without_json_the_output_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["stock", "show", "kettle", "--at", "4", "--events", "1"])
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert 0 == main(["stock", "list"])
    listed = capsys.readouterr().out
    assert 0 == main(["stock", "verify"])
    verified = capsys.readouterr().out

    assert [
        "kettle · 999,994 available",
        "received 1,000,000 · reserved 6 · released 0",
        "event 4 · 2023-11-14T22:13:23.000000Z · built from snapshot 3 and 1 event",
        "",
    ] == shown[:4]
    assert ["4", "2023-11-14T22:13:23.000000Z", "reserved", "3", "o-3"] == shown[-1].split()
    assert ["kettle", "999,985", "1,000,000", "21", "6", "8"] == next(
        line.split()[:6] for line in listed.splitlines() if line.startswith("kettle")
    )
    assert ["kettle", "8", "2", "999,985", "ok"] == next(
        line.split() for line in verified.splitlines() if line.startswith("kettle")
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "unknown"], 1, "there is no product 'unknown'; there are coffee-beans, "),
        (["show", "kettle", "--at", "9"], 1, "kettle has no event 9: its last one is 8"),
        (["show", "kettle", "--at", "noon"], 2, "'noon' is neither the number of an event, nor"),
        (["show", "kettle", "--at", "9" * 5000], 2, "is neither the number of an event, nor"),
        (["show", "kettle", "--events", "-1"], 2, "--events"),
    ],
)
def test_what_there_is_not_is_an_error(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code == main(["stock", *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_log_that_agrees_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    check = _json(capsys, "verify")

    assert [] == check["problems"]
    assert {"sku": "kettle", "events": 8, "snapshots": 2, "available": 999_985, "problems": []} in (
        check["products"]
    )


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            "UPDATE stock SET available = 7 WHERE sku = 'kettle'",
            "kettle: the current stock has 7 available, its events have 999985",
        ),
        (
            "UPDATE stock_snapshots SET state = replace(state, ':15', ':1') WHERE sequence = 6",
            "kettle: snapshot 6 has 999999 available, its events have 999985",
        ),
        (
            "UPDATE stock_snapshots SET state = '' WHERE sequence = 3",
            "kettle: snapshot 3 is damaged",
        ),
        (
            "UPDATE stock_snapshots SET sequence = sequence + 6",
            "kettle: snapshot 12 is of no event",
        ),
        (
            "UPDATE stock_events SET quantity = 5 WHERE sequence = 2",
            "kettle: snapshot 3 has 999997 available, its events have 999993",
        ),
        (
            "UPDATE stock_events SET quantity = 2000000 WHERE sequence = 3",
            "kettle: event 3 sells more than there is: -1000001 left",
        ),
        (
            "UPDATE stock_events SET at_ns = 5 WHERE sequence = 3",
            "kettle: event 3 is older than event 2",
        ),
        ("DELETE FROM stock_events WHERE sequence = 3", "kettle: event 4 follows event 2"),
        (
            "UPDATE stock_events SET change = 'counted' WHERE sequence = 3",
            "kettle: event 3 is 'counted', which this version of the program does not know",
        ),
        (
            "DELETE FROM stock_events WHERE sku = 'milk-jug'",
            "milk-jug: has stock and no events",
        ),
        (
            "DELETE FROM stock WHERE sku = 'kettle'",
            "kettle: has events and is missing in the current stock",
        ),
        (
            "UPDATE reservations SET state = 'rejected' WHERE order_id = 'o-2'",
            "1 order got another answer than the events say: o-2",
        ),
        (
            "UPDATE reservations SET state = 'reserved' WHERE order_id = 'o-6'",
            "1 order got another answer than the events say: o-6",
        ),
        ("DELETE FROM reservations", "5 orders got another answer than the events say: o-1, o-2"),
    ],
)
def test_every_difference_is_named_and_ends_verify_with_1(
    statement: str, problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(folder, statement)

    assert 1 == main(["stock", "verify"])
    assert problem in capsys.readouterr().err
    assert 1 == main(["stock", "verify", "--json"])
    check = json.loads(capsys.readouterr().out)
    assert check["problems"] or any(each["problems"] for each in check["products"])


def test_a_broken_stream_is_an_error_when_it_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(folder, "DELETE FROM stock_events WHERE sequence = 7")

    assert 1 == main(["stock", "show", "kettle"])
    assert "the stream of kettle is broken: event 8 follows event 6" in capsys.readouterr().err


def test_a_database_without_a_log_is_explained_and_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(tmp_path, "CREATE TABLE stock (sku VARCHAR(64) PRIMARY KEY, available INTEGER)")
    with chdir(tmp_path):
        for arguments in (["list"], ["show", "kettle"], ["verify"]):
            assert 1 == main(["stock", *arguments])
            assert (
                "start `serve inventory` or `run --databases` on it once" in capsys.readouterr().err
            )
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        assert [("stock",)] == database.execute(
            "SELECT name FROM sqlite_master WHERE type='table'"
        ).fetchall()


@pytest.mark.parametrize("arguments", [["list"], ["show", "kettle"], ["verify"]])
def test_a_missing_database_is_explained_and_not_created(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chdir(tmp_path):
        assert 2 == main(["stock", *arguments])
    assert "INVENTORY_DATABASE_URL" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())
