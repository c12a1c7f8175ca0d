"""The outbox stores a complete record with its effect, in the current trace context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context
from opentelemetry.context import Context
from sqlalchemy import insert, select

from tests.tracing.sql.conftest import EFFECTS
from tracing import CloudEvent, Replay, Telemetry, cloudevent
from tracing.headers import w3c
from tracing.headers.dead_letter import REPLAY_HEADERS
from tracing.headers.flow import in_flow
from tracing.sql import SqlOutbox
from tracing.sql.outbox_rows import checked, pack, unpack

if TYPE_CHECKING:
    from tests.tracing.sql.conftest import Database
    from tracing.testing import Capture

STALE = b"00-%s-%s-01" % (b"a" * 32, b"b" * 16)


async def stored(database: Database) -> list[dict[str, Any]]:
    """Return all rows, with their headers unpacked."""
    table = database.outbox.table
    async with database.engine.connect() as connection:
        rows = (await connection.execute(select(table).order_by(table.c.sequence))).mappings()
        return [{**row, "headers": dict(unpack(row["headers"]))} for row in rows]


async def test_record_and_effect_are_stored_together_or_not_at_all(database: Database) -> None:
    async def work(*, fails: bool) -> None:
        async with database.engine.begin() as connection:
            await connection.execute(insert(EFFECTS), {"what": "applied"})
            await database.outbox.add(connection, "orders", b"v", key=b"k")
            if fails:
                raise ConnectionError

    with pytest.raises(ConnectionError):
        await work(fails=True)
    assert (0, 0) == (await database.count("effects"), await database.count("outbox"))
    await work(fails=False)
    assert (1, 1) == (await database.count("effects"), await database.count("outbox"))


async def test_any_bytes_survive_the_round_trip(database: Database) -> None:
    async with database.engine.begin() as connection:
        await database.outbox.add(
            connection,
            "orders",
            None,
            key=bytes(range(256)),
            partition=3,
            headers=[("mine", None), ("ü", b"\0\xff")],
        )

    (row,) = await stored(database)
    assert ("orders", None, bytes(range(256)), 3) == (
        row["topic"],
        row["value"],
        row["key"],
        row["partition"],
    )
    assert (None, b"\0\xff") == (row["headers"]["mine"], row["headers"]["ü"])


async def test_a_record_is_a_complete_event_from_the_start(database: Database) -> None:
    async with database.engine.begin() as connection:
        headers = cloudevent(type="OrderPlaced", subject="o-1")
        await database.outbox.add(connection, "orders", b"v", headers=headers)

    (row,) = await stored(database)
    event = CloudEvent.from_headers(list(row["headers"].items()))
    assert event is not None
    assert ("OrderPlaced", "/orders", "o-1") == (event.type, event.source, event.subject)
    assert event.time is not None
    assert event.id


async def test_the_current_context_replaces_a_stale_one(sqlite: Database, capture: Capture) -> None:
    tracer = capture.tracer_provider.get_tracer("test")
    stale = [("traceparent", STALE), ("tracestate", b"a=b"), ("baggage", b"pipeline.origin=1")]
    token = context.attach(Context(in_flow({"pipeline.origin": "1700000000000"})))
    with tracer.start_as_current_span("process orders"):
        async with sqlite.engine.begin() as connection:
            await sqlite.outbox.add(connection, "orders", b"v", headers=stale)
    context.detach(token)

    (row,) = await stored(sqlite)
    span = capture.spans()[0].get_span_context()
    assert span is not None
    assert w3c.format_traceparent(span) == row["headers"]["traceparent"]
    assert "tracestate" not in row["headers"]
    assert b"pipeline.origin=1700000000000" == row["headers"]["baggage"]


async def test_a_forwarded_record_keeps_its_context_without_a_current_span(
    sqlite: Database,
) -> None:
    async with sqlite.engine.begin() as connection:
        await sqlite.outbox.add(connection, "orders", b"v", headers=[("traceparent", STALE)])

    (row,) = await stored(sqlite)
    assert STALE == row["headers"]["traceparent"]


async def test_a_flow_begins_when_its_first_record_is_stored(sqlite: Database) -> None:
    await sqlite.add(b"v")

    (row,) = await stored(sqlite)
    assert "traceparent" not in row["headers"]
    assert (
        b"pipeline.name=orders,pipeline.origin=%d" % row["created_at"]
        == (row["headers"]["baggage"])
    )


@pytest.mark.parametrize(
    ("error", "names", "record"),
    [
        (ValueError, "key or a value", {"topic": "orders", "value": None}),
        (ValueError, "topic", {"topic": "no topic", "value": b"v"}),
        (ValueError, "topic", {"topic": "", "value": b"v"}),
        (ValueError, "topic", {"topic": "t" * 250, "value": b"v"}),
        (ValueError, "partition", {"topic": "orders", "value": b"v", "partition": -1}),
        (TypeError, "topic must be a str, not int", {"topic": 5, "value": b"v"}),
        (TypeError, "value must be bytes", {"topic": "orders", "value": "v"}),
        (TypeError, "key must be bytes", {"topic": "orders", "value": b"v", "key": 1}),
        (TypeError, "partition must", {"topic": "orders", "value": b"v", "partition": "1"}),
        (
            TypeError,
            "header 'a' must be bytes or None, not str",
            {"topic": "orders", "value": b"v", "headers": [("a", "b")]},
        ),
        (
            TypeError,
            "header number 0 must be a pair",
            {"topic": "orders", "value": b"v", "headers": ["ab"]},
        ),
        (
            TypeError,
            "headers must be pairs .* not dict",
            {"topic": "orders", "value": b"v", "headers": {"a": b"b"}},
        ),
        (TypeError, "headers must be pairs", {"topic": "orders", "value": b"v", "headers": 5}),
        (
            ValueError,
            "header name",
            {"topic": "orders", "value": b"v", "headers": [("\ud800", b"")]},
        ),
    ],
)
async def test_a_record_that_no_producer_accepts_is_refused_by_name_before_the_commit(
    sqlite: Database, error: type[Exception], names: str, record: dict[str, Any]
) -> None:
    async with sqlite.engine.begin() as connection:
        with pytest.raises(error, match=names):
            await sqlite.outbox.add(connection, **record)
    assert 0 == await sqlite.count("outbox")


async def test_a_record_is_stored_even_if_telemetry_fails(
    sqlite: Database, telemetry: Telemetry, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("no propagator")

    monkeypatch.setattr(telemetry.propagation, "inject", fail)
    await sqlite.add(b"v")

    (row,) = await stored(sqlite)
    assert row["headers"]["ce_id"]
    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "send"})


@pytest.mark.parametrize("fails", [False, True])
async def test_the_marks_of_a_replay_are_not_stored(
    sqlite: Database, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("no propagator")

    if fails:
        monkeypatch.setattr(telemetry.propagation, "inject", fail)
    marks = Replay(group="shipping", id="orders/0/7").headers()
    async with sqlite.engine.begin() as connection:
        await sqlite.outbox.add(connection, "orders", b"v", headers=[("mine", b"1"), *marks])

    (row,) = await stored(sqlite)
    assert "mine" in row["headers"]
    assert REPLAY_HEADERS.isdisjoint(row["headers"])


async def test_headers_are_unchanged_without_cloudevents(
    sqlite: Database, capture: Capture
) -> None:
    plain = Telemetry("orders", tracer_provider=capture.tracer_provider, cloudevents=False)
    outbox = SqlOutbox(plain, service="orders", metadata=sqlite.metadata)
    async with sqlite.engine.begin() as connection:
        await outbox.add(connection, "orders", b"v", headers=[("mine", b"1")])

    (row,) = await stored(sqlite)
    assert {"mine", "baggage"} == row["headers"].keys()


@given(
    headers=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])), st.one_of(st.binary(), st.none())
        )
    )
)
def test_unpacking_packed_headers_returns_the_same_headers(
    headers: list[tuple[str, bytes | None]],
) -> None:
    assert headers == unpack(pack(checked(headers)))


@pytest.mark.parametrize("packed", [b"", b"{", b"1", b"[1]", b'[["a"]]', b'[["a",1]]', b"\xff"])
def test_headers_in_another_format_are_refused_as_unreadable(packed: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error for text that is not JSON
        unpack(packed)
