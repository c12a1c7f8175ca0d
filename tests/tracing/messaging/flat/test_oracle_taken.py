"""Ordinary messages do take the flat path: a condition that is wrong would show in nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.messaging.flat.oracle_clock import fixed_clock
from tests.tracing.messaging.flat.oracle_run import World
from tests.tracing.messaging.flat.oracle_scenario import Message, Reading, Scenario, Setup
from tracing import cloudevent
from tracing.messaging.flat.engine import engine_of, why_not
from tracing.metrics.message_types import MAX_MESSAGE_TYPES, MAX_OTHER_TYPES

if TYPE_CHECKING:
    from tracing.messaging.flat.engine import Engine

PARENT = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
UNSAMPLED = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
OWN = ("baggage", b"pipeline.name=orders,pipeline.origin=1799999999000")
FOREIGN = ("baggage", b"pipeline.name=billing,pipeline.origin=1799999999000")
TEN = (
    "baggage",
    OWN[1] + b"".join(b",n%d=v%d" % (number, number) for number in range(8)),
)
EVENT = tuple(cloudevent(type="OrderPlaced", source="/shop", id="7", subject="o-1"))
APPLICATION = (("x-tenant", b"blue"), ("x-retry", None))


def run(scenario: Scenario) -> Engine:
    """Run a scenario; return the engine of its telemetry."""
    with fixed_clock() as clock:
        world = World(scenario, clock, fast=True)
        try:
            assert why_not(world.telemetry) is None
            asyncio.run(world.live())
        finally:
            world.close()
    engine = engine_of(world.telemetry)
    assert engine is not None
    return engine


def fallbacks(engine: Engine) -> dict[str, int]:
    # The records that show that a group is not catching up are not ordinary, see `World.feed`.
    marks = {"record": 2}
    return {
        reason: number - marks.get(reason, 0)
        for reason, number in engine.fallbacks.items()
        if number - marks.get(reason, 0)
    }


@pytest.mark.parametrize(
    "headers",
    [(), (PARENT,), (PARENT, OWN), (UNSAMPLED, OWN), (PARENT, FOREIGN), (PARENT, TEN),
     (*EVENT, PARENT, OWN), (*APPLICATION, *EVENT, PARENT, OWN)],
)  # fmt: skip
@pytest.mark.parametrize("reading", ["for", "getone", "getmany", "consume"])
def test_ordinary_records_take_it(headers: tuple[Any, ...], reading: Reading) -> None:
    if UNSAMPLED in headers and reading in {"getmany", "consume"}:
        pytest.skip("a record that is not sampled, with a link to a poll that is, is unusual")
    engine = run(Scenario(records=(Message(headers=headers),) * 3, reading=reading))

    assert {} == fallbacks(engine)
    # With those at the end of each partition.
    assert 5 == engine.taken["process"]


@pytest.mark.parametrize(
    "steps",
    [
        (("attribute", "a", 1), ("attributes", (("b", 2), ("c", "d")))),
        (("event", "packed", {"boxes": 2}, None), ("status", "ERROR", "why"), ("exception",)),
        (("send", Message(topic="out")), ("send", Message(topic="out", headers=EVENT))),
        (("fail", "value"),),
        (("fail", "rejected"),),
        (("look",), ("task", (("turn", 3), ("send", Message(topic="out"))))),
        (("inside", "same_baggage", (("send", Message(topic="out")),)),),
        (("child", (("send", Message(topic="out")),)),),
    ],
)
def test_what_handlers_do_does_not_keep_records_off_it(steps: tuple[Any, ...]) -> None:
    engine = run(
        Scenario(records=(Message(headers=(PARENT, OWN)),) * 3, handlers=(steps,), reading="getone")
    )

    assert {} == fallbacks(engine)
    assert 5 == engine.taken["process"]


@pytest.mark.parametrize(
    "headers", [None, (), EVENT, APPLICATION, (*EVENT, *APPLICATION), tuple(cloudevent(type="T"))]
)
@pytest.mark.parametrize("ambient", ["none", "baggage", "sampled", "unsampled", "random"])
def test_ordinary_sends_take_it(headers: Any, ambient: str) -> None:
    message = Message(headers=headers, key=b"k")
    engine = run(Scenario(setup=Setup(ambient=ambient), before=(("send", message),) * 3))

    assert {"send": 3, "process": 0, "batch": 0} == engine.taken
    assert not any(engine.fallbacks.values())


def test_messages_of_more_topics_than_types_have_labels_take_it() -> None:
    topics = [f"orders-{number}" for number in range(2 * MAX_MESSAGE_TYPES)]
    engine = run(
        Scenario(
            before=tuple(("send", Message(topic=topic)) for topic in (*topics, *topics)),
            records=tuple(
                Message(topic=topic, headers=(PARENT, OWN, ("ce_type", topic.encode())))
                for topic in topics
            ),
        )
    )

    assert 2 * len(topics) == engine.taken["send"]
    # With those at the end of each partition.
    assert 3 * len(topics) == engine.taken["process"]


def test_types_without_end_take_it_up_to_a_bound() -> None:
    within = MAX_MESSAGE_TYPES + MAX_OTHER_TYPES
    messages = [
        Message(headers=tuple(cloudevent(type=f"Type-{number}"))) for number in range(within + 5)
    ]
    engine = run(Scenario(before=tuple(("send", message) for message in (*messages, *messages))))

    assert 2 * within == engine.taken["send"]
    assert 2 * 5 == engine.fallbacks["record"]
