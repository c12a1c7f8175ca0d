"""Make random schedules of consume loops as data; a seed determines each schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class HandlerAction(StrEnum):
    """The action of a handler when it receives a record."""

    OK = "ok"
    SLOW = "slow"
    FAIL = "fail"
    REJECT = "reject"
    HANG = "hang"
    """Wait until cancelled, or until the schedule releases it."""
    SWALLOW = "swallow"
    """Like `HANG`, but swallow the cancellation and succeed late."""
    SWALLOW_AND_FAIL = "swallow and fail"
    """Like `HANG`, but swallow the cancellation and fail late."""


class End(StrEnum):
    """The way in which a loop is ended."""

    STOP = "stop"
    CANCEL = "cancel"
    CANCEL_TWICE = "cancel twice"
    CLOSE = "close"
    CLOSE_BARE = "close the bare consumer"
    CLOSE_IN_HANDLER = "close in a handler"
    UNSUBSCRIBE = "unsubscribe"


class DeadLetterFault(StrEnum):
    """How sending a dead letter fails."""

    NONE = "none"
    BEFORE = "fails before the broker has it"
    AFTER = "fails after the broker has it"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPlan:
    """One run of `consume`.

    Attributes:
        start_s: When it starts, in seconds.
        duration_s: How long it runs before it is ended, in seconds.
        end: How it is ended.
        broker_paused: Whether the broker is paused from before the end until `consume` returns.
        commits: Whether its handlers call `commit()`.
    """

    start_s: float
    duration_s: float
    end: End
    broker_paused: bool
    commits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule.

    Attributes:
        seed: Its seed.
        partitions: Number of partitions.
        records: When each record is sent, in seconds, and its key.
        actions: The actions of handlers for each record, one per attempt; the last is repeated.
        members: The loops of each member, one after the other.
        pauses: When the broker is paused, and for how long, in seconds.
        dead_letter_faults: The faults of the first dead letters, in order.
        drain_timeout_s: Option of `consume`.
        commit_interval_s: Option of `consume`.
        concurrency: Option of `consume`.
        max_buffered: Option of `consume`.
        max_poll_records: Option of the consumer.
    """

    seed: int
    partitions: int
    records: tuple[tuple[float, int], ...]
    actions: tuple[tuple[HandlerAction, ...], ...]
    members: tuple[tuple[LoopPlan, ...], ...]
    pauses: tuple[tuple[float, float], ...]
    dead_letter_faults: tuple[DeadLetterFault, ...]
    drain_timeout_s: float
    commit_interval_s: float
    concurrency: int | None
    max_buffered: int
    max_poll_records: int | None


_SPAN_S = 3.0
_MAX_PAUSE_S = 1.2


def make_schedule(seed: int) -> Schedule:
    """Make the schedule that a seed determines."""
    chance = random.Random(seed)
    number = chance.randint(15, 50)
    trouble = chance.choice((0.05, 0.15, 0.4))
    return Schedule(
        seed=seed,
        partitions=chance.randint(1, 3),
        records=tuple(
            sorted((chance.uniform(0.0, _SPAN_S), chance.randint(0, 5)) for _ in range(number))
        ),
        actions=tuple(_actions(chance, trouble) for _ in range(number)),
        members=tuple(_loops(chance) for _ in range(chance.randint(1, 3))),
        pauses=tuple(
            (chance.uniform(0.0, _SPAN_S), chance.uniform(0.2, _MAX_PAUSE_S))
            for _ in range(chance.choice((0, 0, 1, 2)))
        ),
        dead_letter_faults=tuple(
            chance.choices(tuple(DeadLetterFault), (4, 1, 1))[0]
            for _ in range(chance.randint(0, 6))
        ),
        drain_timeout_s=chance.choice((0.1, 0.3, 1.0)),
        commit_interval_s=chance.choice((0.02, 0.1, 0.5)),
        concurrency=chance.choice((None, None, 1, 2)),
        max_buffered=chance.choice((1, 5, 500)),
        max_poll_records=chance.choice((None, 1, 7)),
    )


def _actions(chance: random.Random, trouble: float) -> tuple[HandlerAction, ...]:
    actions: list[HandlerAction] = []
    while chance.random() < trouble and len(actions) < 4:
        actions.append(chance.choice(tuple(HandlerAction)))
    # With FAIL as the last action, the record becomes a dead letter.
    last = chance.choices(
        (HandlerAction.OK, HandlerAction.SLOW, HandlerAction.REJECT, HandlerAction.FAIL),
        (12, 3, 1, 1),
    )[0]
    return (*actions, last)


def _loops(chance: random.Random) -> tuple[LoopPlan, ...]:
    loops: list[LoopPlan] = []
    start_s = chance.uniform(0.0, _SPAN_S / 2)
    while start_s < _SPAN_S and len(loops) < 3:
        duration_s = chance.uniform(0.1, _SPAN_S / 2)
        loops.append(
            LoopPlan(
                start_s=start_s,
                duration_s=duration_s,
                end=chance.choice(tuple(End)),
                broker_paused=chance.random() < 0.15,
                commits=chance.random() < 0.2,
            )
        )
        start_s += duration_s + chance.uniform(0.0, 0.5)
    return tuple(loops)
