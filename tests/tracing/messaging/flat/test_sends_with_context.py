"""Sends with the headers of another message: forwarded by its handler, or stored by an outbox."""

from __future__ import annotations

from typing import Any, cast

import pytest
from opentelemetry.context import Context

from tests.tracing.messaging.flat.both_ways import BAGGAGE, Records, headers, record
from tests.tracing.messaging.flat.send_world import (
    MOMENT,
    SAMPLED,
    SAMPLERS,
    UNSAMPLED,
    Case,
    SendWorld,
    below,
)
from tracing import TracedConsumer, TracedProducer


def _forwarded(more: list[Any], changed: dict[str, bytes] | None) -> Case:
    """Handle a record, and send its headers on, with changed ones, if at all, and with more."""

    async def case(producer: TracedProducer) -> None:
        received: Any = record(headers())
        consumer = TracedConsumer(cast("Any", Records([received])), producer.telemetry)
        async with consumer.process(received):
            own = [
                (name, (changed or {}).get(name, value))
                for name, value in received.headers
                if changed is not None
            ]
            await producer.send_and_wait("orders", b"v", headers=[*own, *more])

    return case


FORWARDED = {
    "none of them": (_forwarded([("mine", b"1")], None), 0),
    "as they are": (_forwarded([], {}), 0),
    "with more": (_forwarded([("mine", b"1")], {}), 0),
    "with another context": (_forwarded([], {"traceparent": SAMPLED}), 1),
    "with other baggage": (_forwarded([], {"baggage": b"pipeline.name=payments"}), 1),
    "with a state": (_forwarded([("tracestate", b"vendor=value")], {}), 1),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", FORWARDED)
async def test_a_handler_hands_the_headers_of_its_record_on(
    name: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, unusual = FORWARDED[name]
    flat = SendWorld(SAMPLERS[sampler])
    by_the_flat_path = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    assert await SendWorld(SAMPLERS[sampler]).left_by(case) == by_the_flat_path
    if sampler == "as the parent":
        assert 1 == flat.engine.taken["process"]
        assert 1 - unusual == flat.engine.taken["send"]
        assert unusual == flat.engine.fallbacks["context_headers"]


def _stored(parent: bytes, *more: tuple[str, Any]) -> Case:
    """Return sends of a record that an outbox has stored, as a relay sends it."""
    carried = headers(("mine", b"1"), ("ce_time", MOMENT.isoformat().encode()), parent=parent)
    return below(Context, [*carried, *more])


STORED = {
    "sampled": (_stored(SAMPLED), 0),
    "not sampled": (_stored(UNSAMPLED), 0),
    "twice": (_stored(UNSAMPLED, ("traceparent", SAMPLED)), 0),
    "no parent": (_stored(b""), 2),
    "upper case": (_stored(SAMPLED.upper()), 2),
    "other baggage": (_stored(SAMPLED, ("baggage", b"a=b,pipeline.name=payments")), 2),
    "no flow": (below(Context, [("traceparent", SAMPLED)]), 2),
    "no trace": (below(Context, [("baggage", BAGGAGE)]), 2),
    "an implausible origin": (
        _stored(SAMPLED, ("baggage", b"pipeline.name=orders,pipeline.origin=1")), 2
    ),
    "a state": (_stored(SAMPLED, ("tracestate", b"vendor=value")), 2),
    "in a context": (below(lambda: Context({"mine": 1}), headers(parent=SAMPLED)), 2),
}  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", STORED)
async def test_a_stored_record_continues_its_own_trace(
    name: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, unusual = STORED[name]
    flat = SendWorld(SAMPLERS[sampler])
    by_the_flat_path = await flat.left_by(case)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")

    assert await SendWorld(SAMPLERS[sampler]).left_by(case) == by_the_flat_path
    if sampler == "as the parent":
        assert 2 - unusual == flat.engine.taken["send"]
        assert unusual == flat.engine.fallbacks["context_headers"]
