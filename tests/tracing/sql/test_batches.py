"""Several records or transitions in few statements are stored as one by one."""

from __future__ import annotations

import dataclasses
import random
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select

from tests.tracing.sql.conftest import Database, one_hop
from tests.tracing.sql.saga_fixtures import NAME, S, rows, store_events
from tests.tracing.sql.test_saga_log_orders import lives, start
from tracing import SagaContext
from tracing.headers import w3c
from tracing.sql import FlowNote, SagaMove, SqlInbox, SqlProjections, SqlSagaLog, SqlSagas
from tracing.sql.outbox_rows import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from tracing import FlowEvent, SagaHistory
    from tracing.testing import Capture

EVENT = (("ce_source", b"/orders"), ("ce_id", b"1"))


@contextmanager
def counted(connection: Connection) -> Iterator[list[str]]:
    """Collect the statements of a block."""
    statements: list[str] = []

    def collect(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(connection, "before_cursor_execute", collect)
    try:
        yield statements
    finally:
        event.remove(connection, "before_cursor_execute", collect)


async def create(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)


async def test_an_inbox_takes_several_records_with_one_statement(
    database: Database, capture: Capture, make_record: Callable[..., Any]
) -> None:
    tracer = capture.tracer_provider.get_tracer("test")
    records = [make_record(*EVENT), make_record(offset=5), make_record(*EVENT, offset=9)]
    contexts = []
    spans = [tracer.start_span(str(number)) for number in range(3)]
    for span in spans:
        context = copy_context()
        context.run(_make_current, span)
        contexts.append(context)

    def accept(connection: Connection) -> list[list[bool]]:
        with counted(connection) as statements:
            first = database.inbox.accept_all_in(connection, records, contexts)
        assert 1 == len(statements)
        return [first, database.inbox.accept_all_in(connection, records[:2])]

    async with one_hop(database) as transactions:
        assert [[True, True, False], [False, False]] == await transactions.run(accept)
        assert [[], []] == await transactions.run(_nothing, database.inbox)
    for span in spans:
        span.end()
    assert 3 == capture.metric("pipeline.duplicates")
    noted = {span.name: [each.name for each in span.events] for span in capture.spans()}
    assert {"0": [], "1": [], "2": ["pipeline.duplicate"]} == noted


def _make_current(span: Any) -> None:
    from opentelemetry.context import attach  # noqa: PLC0415 - for the copied context alone
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - likewise

    attach(set_span_in_context(span))


def _nothing(connection: Connection, inbox: SqlInbox) -> list[list[bool]]:
    return [inbox.accept_all_in(connection, []), inbox.accept_all_in(connection, [], [])]


async def test_an_outbox_stores_several_records_with_one_statement_each_in_its_trace(
    database: Database, capture: Capture
) -> None:
    tracer = capture.tracer_provider.get_tracer("test")
    prepared = []
    for number in range(3):
        with tracer.start_as_current_span(str(number)):
            prepared.append(database.outbox.row("orders", b"%d" % number, key=b"k"))

    def add(connection: Connection) -> int:
        with counted(connection) as statements:
            database.outbox.add_all_in(connection, prepared)
            database.outbox.add_all_in(connection, [])
        return len(statements)

    async with one_hop(database) as transactions:
        assert 1 == await transactions.run(add)
    table = database.outbox.table
    async with database.engine.connect() as connection:
        stored = (await connection.execute(select(table).order_by(table.c.sequence))).all()
    assert [b"0", b"1", b"2"] == [row.value for row in stored]
    parents = [w3c.format_traceparent(span.context) for span in capture.spans() if span.context]
    assert parents == [dict(unpack(row.headers))["traceparent"] for row in stored]


async def test_read_models_advance_past_several_records_as_one_by_one(
    database: Database, make_record: Callable[..., Any]
) -> None:
    together = SqlProjections(metadata=database.metadata, prefix="together")
    alone = SqlProjections(metadata=database.metadata, prefix="alone")
    await create(database)
    async with database.engine.begin() as connection:
        for each in (together, alone):
            await each.declare(connection, ["built", "too"], fresh=True)
            await each.declare(connection, ["new"], fresh=False)
    names = ["built", "too", "new"]
    records = [
        dataclasses.replace(
            make_record(offset=offset, partition=partition), timestamp=1000 + offset
        )
        for partition, offset in ((0, 5), (1, 2), (2, 9), (0, 6), (0, 6), (1, 1))
    ]

    def advance(connection: Connection) -> list[dict[str, int]]:
        with counted(connection) as statements:
            answers = together.advance_all_in(connection, names, records)
        assert 3 == len([each for each in statements if each.startswith("INSERT")])
        return answers

    async with one_hop(database) as transactions:
        answers = await transactions.run(advance)
    async with database.engine.begin() as connection:
        assert answers == [await alone.advance(connection, names, each) for each in records]
        for name in names:
            assert await alone.positions(connection, name) == await together.positions(
                connection, name
            )
    assert {"built": 1, "too": 1} == answers[0]
    assert {} == answers[-1]


def _moves() -> list[SagaMove]:
    contexts = [SagaContext(saga_id, 10 * S) for saga_id in ("o-1", "o-2")]
    return [
        *(
            SagaMove(
                saga_id=each.saga_id, state="charge", at_ns=10 * S, started=each,
                deadline_ns=20 * S, begun_step="charge",
            )
            for each in contexts
        ),
        SagaMove(
            saga_id="o-1", state="refund", at_ns=12 * S, ended_step="charge",
            step_outcome="rejected", reason="a\0b" + "c" * 500,
            begun_step="refund", begins_compensation=True,
        ),
        # The request is repeated.
        SagaMove(
            saga_id="o-1", state="refund", at_ns=13 * S, begun_step="refund", attempts=2,
            begins_compensation=True, deadline_ns=30 * S,
        ),
        SagaMove(
            saga_id="o-1", state="compensated", at_ns=14 * S, ended_step="refund",
            compensation=True, outcome="compensated",
        ),
        SagaMove(saga_id="o-2", state="ship", at_ns=15 * S, ended_step="charge", begun_step="ship"),
    ]  # fmt: skip


def _one_by_one(connection: Connection, sagas: SqlSagas) -> list[int | None]:
    began: list[int | None] = []
    for saga_id in ("o-1", "o-2"):
        context = SagaContext(saga_id, 10 * S)
        sagas.start_in(connection, NAME, context, state="charge", deadline_ns=20 * S)
        sagas.begin_step_in(connection, NAME, saga_id, "charge", started_ns=10 * S)
        began.append(None)
    began.append(
        sagas.end_step_in(connection, NAME, "o-1", "charge", outcome="rejected", ended_ns=12 * S)
    )
    reason = "a\0b" + "c" * 500
    sagas.move_in(connection, NAME, "o-1", "refund", reason=reason, moved_ns=12 * S)
    for attempts, at_ns in ((1, 12 * S), (2, 13 * S)):
        sagas.begin_step_in(
            connection, NAME, "o-1", "refund", compensation=True, attempts=attempts,
            started_ns=at_ns,
        )  # fmt: skip
    sagas.move_in(connection, NAME, "o-1", "refund", moved_ns=13 * S)
    began.append(None)
    began.append(
        sagas.end_step_in(connection, NAME, "o-1", "refund", outcome="ok", ended_ns=14 * S)
    )
    sagas.end_in(connection, NAME, "o-1", "compensated", ended_ns=14 * S)
    began.append(
        sagas.end_step_in(connection, NAME, "o-2", "charge", outcome="ok", ended_ns=15 * S)
    )
    sagas.begin_step_in(connection, NAME, "o-2", "ship", started_ns=15 * S)
    sagas.move_in(connection, NAME, "o-2", "ship", moved_ns=15 * S)
    return began


async def test_transitions_of_sagas_are_stored_as_their_single_changes(
    database: Database,
) -> None:
    together = SqlSagas(metadata=database.metadata, prefix="together")
    alone = SqlSagas(metadata=database.metadata, prefix="alone")
    await create(database)
    async with one_hop(database) as transactions:
        began = await transactions.run(together.record_in, NAME, _moves())
        assert [None, None, 10 * S, None, 12 * S, 10 * S] == began
        assert began == await transactions.run(_one_by_one, alone)
        sagas = alone.tables.sagas
        await transactions.run(
            lambda connection: connection.execute(
                sagas.update().where(sagas.c.saga_id == "o-1").values(deadline_ns=30 * S)
            )
        )
    stored = [
        list((await rows(database, each.tables, NAME)).values()) for each in (together, alone)
    ]
    assert stored[0] == stored[1]


async def test_a_transition_that_comes_again_is_counted_once(database: Database) -> None:
    sagas = SqlSagas(metadata=database.metadata)
    await create(database)
    async with one_hop(database) as transactions:
        await transactions.run(sagas.record_in, NAME, _moves())
        before = await rows(database, sagas.tables, NAME)
        end = _moves()[4]
        assert [None] == await transactions.run(sagas.record_in, NAME, [end])
        start = _moves()[0]
        await transactions.run(sagas.record_in, NAME, [start])
        after = await rows(database, sagas.tables, NAME)
    assert before == after


async def test_many_transitions_take_as_many_statements_as_one(database: Database) -> None:
    sagas = SqlSagas(metadata=database.metadata)
    await create(database)

    def start(connection: Connection, saga_ids: list[str]) -> int:
        moves = [
            SagaMove(saga_id=each, state="a", at_ns=S, started=SagaContext(each, S), begun_step="a")
            for each in saga_ids
        ]
        with counted(connection) as statements:
            sagas.record_in(connection, NAME, moves)
        return len(statements)

    async with one_hop(database) as transactions:
        assert 3 == await transactions.run(start, ["o-1"])
        assert 3 == await transactions.run(start, [f"o-{number}" for number in range(2, 30)])


@pytest.mark.parametrize("wrong", [{"step_outcome": "fine"}, {"outcome": "done"}])
def test_an_outcome_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="is not an outcome of a"):
        SagaMove(saga_id="o-1", state="a", at_ns=S, **wrong)


async def test_events_of_flows_are_stored_together_as_one_by_one(database: Database) -> None:
    together = SqlSagaLog(database.engine, metadata=database.metadata, prefix="together")
    alone = SqlSagaLog(database.engine, metadata=database.metadata, prefix="alone")
    await create(database)
    # Each twice, and in an order in which starts, ends and late steps meet in one batch.
    chance = random.Random(5)
    events = lives(6) * 2
    chance.shuffle(events)

    def notes(some: list[FlowEvent]) -> list[FlowNote]:
        return [
            FlowNote(each, SagaContext(each.saga_id, each.at_ns), each.at_ns + 10 * S)
            if each.starts
            else FlowNote(each)
            for each in some
        ]

    expected = await store_events(alone, NAME, *events)
    reported: list[SagaHistory | None] = []
    async with one_hop(database) as transactions:
        while events:
            number = chance.randrange(1, 12)
            batch, events = events[:number], events[number:]
            reported += await transactions.run(together.note_all_in, NAME, notes(batch))
    assert expected == [each for each in reported if each is not None]
    stored = [
        list((await rows(database, each.tables, NAME)).values()) for each in (together, alone)
    ]
    assert stored[0] == stored[1]


async def test_events_of_many_instances_take_as_many_statements_as_one(database: Database) -> None:
    log = SqlSagaLog(database.engine, metadata=database.metadata)
    await create(database)

    def note(connection: Connection, saga_ids: list[str]) -> int:
        starts = [FlowNote(start(1, each), SagaContext(each, S), 10 * S) for each in saga_ids]
        with counted(connection) as statements:
            log.note_all_in(connection, NAME, starts)
        return len(statements)

    async with one_hop(database) as transactions:
        assert 3 == await transactions.run(note, ["o-1"])
        assert 3 == await transactions.run(note, [f"o-{number}" for number in range(2, 30)])
        alternating = await transactions.run(note, ["o-31", "o-31", "o-32", "o-32", "o-33"])
        # A repeated start changes nothing, so its turn only locks the instances.
        assert 3 + 1 == alternating
