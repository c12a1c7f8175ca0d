"""`replay`, with the embedded broker, after a run and beside a running service."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

import tracing
from demo_pipeline.__main__ import main
from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.broker import EmbeddedBroker, create_topics
from demo_pipeline.domain.schemas import committed
from demo_pipeline.domain.topics import ORDERS, PARTITIONS
from tests.demo_pipeline import read_model_rows
from tests.demo_pipeline.read_model_rows import TABLES, query
from tests.demo_pipeline.runtime.fake_registry import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo_pipeline.app.run import RunOutcome


class _Silent:
    def step(self, what: str) -> None: ...

    def placed(self) -> None: ...

    def ended(self, orders: int) -> None: ...


async def _run(servers: str, folder: Path, scenario: str) -> RunOutcome:
    options = RunOptions(
        load=Load(orders=12, rate=20, seed=3),
        scenario=scenario,
        bootstrap_servers=servers,
        kafka=False,
        http_port=0,
        timeout_s=60,
        databases=folder,
    )
    return await run(options, _Silent())


@pytest.fixture(scope="module", params=["payment-declines", "poison"])
def after_a_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("databases")
    with asyncio.Runner() as runner:
        broker = EmbeddedBroker()
        runner.run(broker.__aenter__())
        try:
            runner.run(_run(broker.bootstrap_servers, folder, request.param))
            yield broker.bootstrap_servers, folder
        finally:
            runner.run(broker.__aexit__(None, None, None))


def canonical(folder: Path, read_model: str) -> bytes:
    return read_model_rows.canonical(folder / "analytics.sqlite3", read_model)


def _replay(servers: str, folder: Path, read_model: str, *more: str) -> int:
    return main(
        [
            "replay",
            "--read-model",
            read_model,
            "--bootstrap-servers",
            servers,
            "--databases",
            str(folder),
            *more,
        ]
    )


@pytest.mark.parametrize("read_model", sorted(TABLES))
def test_a_read_model_after_a_replay_equals_the_live_one_byte_for_byte(
    after_a_run: tuple[str, Path], read_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, read_model)
    assert len(live) > 500

    assert 0 == _replay(servers, folder, read_model, "--json")

    assert live == canonical(folder, read_model)
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert (read_model, "done", 0, 0) == (
        result["read_model"], result["phase"], result["remaining"], result["skipped"],
    )  # fmt: skip
    assert result["applied"] >= 12
    assert "" == output.err.replace("could not", "") or result["undecodable"]
    generations = query(
        folder / "analytics.sqlite3",
        f"SELECT DISTINCT generation FROM {TABLES[read_model]}",  # noqa: S608 - our own name
    )
    assert [(result["generation"],)] == generations


def test_the_stock_after_a_run_agrees_with_its_log(after_a_run: tuple[str, Path]) -> None:
    assert 0 == main(["stock", "verify", "--databases", str(after_a_run[1])])


def test_damaged_rows_are_mended_and_the_result_is_for_people(
    after_a_run: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, "orders")
    with closing(sqlite3.connect(folder / "analytics.sqlite3")) as database:
        database.execute("UPDATE order_view SET state = 'damaged'")
        database.commit()

    assert 0 == _replay(servers, folder, "orders")

    assert live == canonical(folder, "orders")
    assert "replaces the one before" in capsys.readouterr().out


def test_a_replay_up_to_a_time_leaves_the_live_rows_alone(
    after_a_run: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, "orders")

    assert 0 == _replay(servers, folder, "orders", "--to", "1", "--quiet")
    assert "" == capsys.readouterr().out
    assert 0 == _replay(servers, folder, "orders", "--to", "2020-01-01")

    assert live == canonical(folder, "orders")
    assert "0 events applied" in capsys.readouterr().out


@pytest.mark.parametrize("start", ["2020-01-01", "2"])
def test_from_elsewhere_events_are_added_to_a_copy_of_the_live_rows(
    after_a_run: tuple[str, Path], start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, "orders")

    assert 0 == _replay(servers, folder, "orders", "--from", start, "--json")

    assert live == canonical(folder, "orders")
    assert ("2" == start) == (json.loads(capsys.readouterr().out)["applied"] < 30)


def test_a_read_model_that_came_after_the_fact_is_built_from_history(
    after_a_run: tuple[str, Path],
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, "products")
    # As in a database from before that read model.
    with closing(sqlite3.connect(folder / "analytics.sqlite3")) as database:
        for statement in (
            "DROP TABLE product_sales",
            "DELETE FROM projection_models WHERE name = 'products'",
            "DELETE FROM projection_positions WHERE name = 'products'",
        ):
            database.execute(statement)
        database.commit()

    assert 0 == _replay(servers, folder, "products", "--quiet")

    assert live == canonical(folder, "products")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "KAFKA_BOOTSTRAP_SERVERS"),
        (["--from", "yesterday"], "'yesterday' is neither `beginning` nor an offset"),
        (
            ["--bootstrap-servers", "a:1", "--from", "5", "--to", "3"],
            "is before the start, offset 5",
        ),
        (["--to", "-1"], "'-1' is neither `live` nor an offset"),
        (["--read-model", "customers"], "'customers' is not one of 'orders', 'products'"),
        (["--bootstrap-servers", "localhost:1"], "there is no file"),
    ],
)
def test_wrong_usage_is_explained(
    tmp_path: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["replay", "--databases", str(tmp_path)]
    if "--read-model" not in arguments:
        usual += ["--read-model", "orders"]

    assert 2 == main([*usual, *arguments])

    assert expected in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_a_cluster_that_is_not_the_right_one_is_refused(
    after_a_run: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = after_a_run
    live = canonical(folder, "orders")
    with asyncio.Runner() as runner:
        broker = EmbeddedBroker()
        runner.run(broker.__aenter__())
        try:
            assert 1 == _replay(broker.bootstrap_servers, folder, "orders")
            missing = capsys.readouterr().err
            runner.run(create_topics(broker.bootstrap_servers, PARTITIONS))
            assert 1 == _replay(broker.bootstrap_servers, folder, "orders")
        finally:
            runner.run(broker.__aexit__(None, None, None))

    assert "there is no readable topic inventory.events, orders.events, payment.events" in missing
    assert "is this the right cluster?" in capsys.readouterr().err
    assert live == canonical(folder, "orders")


async def _send(servers: str, *values: bytes) -> None:
    headers: Any = tracing.cloudevent(type="OrderPlaced", source="/test", id="x")
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for value in values:
            await producer.send_and_wait(ORDERS, value, headers=headers)


def test_bytes_that_are_no_event_are_left_out_as_the_service_left_them_out(
    after_a_run: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    servers, folder = after_a_run
    asyncio.run(_send(servers, b"", b"{", b"\0\0\0\0\1"))
    live = canonical(folder, "orders")

    assert 0 == _replay(servers, folder, "orders")

    assert live == canonical(folder, "orders")
    output = capsys.readouterr()
    assert "that cannot be decoded" in output.out
    assert "the replay leaves it out, as the live consumer did" in output.err


def test_events_of_a_registry_that_is_not_the_services_replace_nothing(
    after_a_run: tuple[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, "orders")
    registry = FakeRegistry()
    with registry.running(), monkeypatch.context() as patched:
        patched.setenv("SCHEMA_REGISTRY_URL", registry.url)
        assert 1 == _replay(servers, folder, "orders")
    assert "cannot be decoded now (UnknownSchema)" in (error := capsys.readouterr().err)
    assert "Is SCHEMA_REGISTRY_URL the one of the service?" in error
    assert live == canonical(folder, "orders")

    assert 0 == _replay(servers, folder, "orders")

    assert live == canonical(folder, "orders")


def _with_other_ids() -> FakeRegistry:
    """Return a registry in which the ids of the events mean other subjects."""
    registry = FakeRegistry()
    schemas = committed()
    ids = [schemas.id_of(schema) for schema in schemas.schemas]
    for schema_id, schema in zip(ids[7:] + ids[:7], schemas.schemas, strict=True):
        registry.schemas[schema_id] = (schema.subject, schema.version or 1, schema.text)
    return registry


def test_events_whose_ids_mean_other_schemas_here_replace_nothing(
    after_a_run: tuple[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, "products")
    registry = _with_other_ids()
    with registry.running(), monkeypatch.context() as patched:
        patched.setenv("SCHEMA_REGISTRY_URL", registry.url)
        for _ in range(2):
            assert 1 == _replay(servers, folder, "products")
            error = capsys.readouterr().err
            assert "cannot be decoded (" in error
            assert ": the live rows stay as they are" in error
            assert "Is SCHEMA_REGISTRY_URL the one of the service?" in error
            assert live == canonical(folder, "products")
        assert 0 == _replay(servers, folder, "products", "--incomplete")
        assert "0 events applied" in capsys.readouterr().out
        assert live != canonical(folder, "products")

    assert 0 == _replay(servers, folder, "products")

    assert live == canonical(folder, "products")


def test_an_event_whose_schema_no_registry_has_is_left_out_if_that_is_asked_for(
    after_a_run: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    servers, folder = after_a_run
    live = canonical(folder, "orders")
    asyncio.run(_send(servers, b"\0\0\0\x03\xe7\0"))

    assert 1 == _replay(servers, folder, "orders")
    assert "--leave-out-unknown" in capsys.readouterr().err
    assert 0 == _replay(servers, folder, "orders", "--leave-out-unknown")

    assert live == canonical(folder, "orders")
    assert "that cannot be decoded" in capsys.readouterr().out
