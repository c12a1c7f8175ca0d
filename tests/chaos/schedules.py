"""What happens in a random schedule of consume loops, as data that a seed determines."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Turn(StrEnum):
    """What a handler does when it gets a record."""

    OK = "ok"
    SLOW = "slow"
    FAIL = "fail"
    REJECT = "reject"
    HANG = "hang"
    """Wait until it is cancelled, or the schedule lets go of it."""
    SWALLOW = "swallow"
    """As `HANG`, but go on when cancelled, and succeed late."""
    SWALLOW_AND_FAIL = "swallow and fail"
    """As `HANG`, but go on when cancelled, and fail late."""


class End(StrEnum):
    """How a loop is made to end."""

    STOP = "stop"
    CANCEL = "cancel"
    CANCEL_TWICE = "cancel twice"
    CLOSE = "close"
    CLOSE_BARE = "close the bare consumer"
    CLOSE_IN_HANDLER = "close in a handler"
    UNSUBSCRIBE = "unsubscribe"


class LetterFault(StrEnum):
    """What becomes of sending a dead letter."""

    NONE = "none"
    BEFORE = "fails before the broker has it"
    AFTER = "fails after the broker has it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One run of `consume`.

    Attributes:
        begins_s: When it begins, in seconds.
        lasts_s: After how many seconds it is made to end.
        end: How.
        dark: Whether the broker is paused from before that until `consume` has returned.
        commits: Whether its handlers call `commit()`.
    """

    begins_s: float
    lasts_s: float
    end: End
    dark: bool
    commits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule.

    Attributes:
        seed: What it is made from.
        partitions: Number of partitions.
        records: When each record is sent, in seconds, and its key.
        turns: What handlers do with a record, in the order in which they get it; the last turn is
            repeated.
        members: The lives of each member, one after the other.
        pauses: When the broker is paused, and for how long, in seconds.
        letter_faults: What becomes of dead letters, in their order; later ones are sent.
        drain_timeout_s: Option of `consume`, as the following.
        commit_interval_s: See there.
        concurrency: See there.
        max_buffered: See there.
        max_poll_records: Option of the consumer.
    """

    seed: int
    partitions: int
    records: tuple[tuple[float, int], ...]
    turns: tuple[tuple[Turn, ...], ...]
    members: tuple[tuple[Life, ...], ...]
    pauses: tuple[tuple[float, float], ...]
    letter_faults: tuple[LetterFault, ...]
    drain_timeout_s: float
    commit_interval_s: float
    concurrency: int | None
    max_buffered: int
    max_poll_records: int | None


_SPAN_S = 3.0
_MAX_PAUSE_S = 1.2


def schedule(seed: int) -> Schedule:
    """Make the schedule of a seed."""
    chance = random.Random(seed)
    number = chance.randint(15, 50)
    trouble = chance.choice((0.05, 0.15, 0.4))
    return Schedule(
        seed=seed,
        partitions=chance.randint(1, 3),
        records=tuple(
            sorted((chance.uniform(0.0, _SPAN_S), chance.randint(0, 5)) for _ in range(number))
        ),
        turns=tuple(_turns(chance, trouble) for _ in range(number)),
        members=tuple(_lives(chance) for _ in range(chance.randint(1, 3))),
        pauses=tuple(
            (chance.uniform(0.0, _SPAN_S), chance.uniform(0.2, _MAX_PAUSE_S))
            for _ in range(chance.choice((0, 0, 1, 2)))
        ),
        letter_faults=tuple(
            chance.choices(tuple(LetterFault), (4, 1, 1))[0] for _ in range(chance.randint(0, 6))
        ),
        drain_timeout_s=chance.choice((0.1, 0.3, 1.0)),
        commit_interval_s=chance.choice((0.02, 0.1, 0.5)),
        concurrency=chance.choice((None, None, 1, 2)),
        max_buffered=chance.choice((1, 5, 500)),
        max_poll_records=chance.choice((None, 1, 7)),
    )


def _turns(chance: random.Random, trouble: float) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    while chance.random() < trouble and len(turns) < 4:
        turns.append(chance.choice(tuple(Turn)))
    # A record that fails for good at last is a dead letter.
    last = chance.choices((Turn.OK, Turn.SLOW, Turn.REJECT, Turn.FAIL), (12, 3, 1, 1))[0]
    return (*turns, last)


def _lives(chance: random.Random) -> tuple[Life, ...]:
    lives: list[Life] = []
    begins_s = chance.uniform(0.0, _SPAN_S / 2)
    while begins_s < _SPAN_S and len(lives) < 3:
        lasts_s = chance.uniform(0.1, _SPAN_S / 2)
        lives.append(
            Life(
                begins_s=begins_s,
                lasts_s=lasts_s,
                end=chance.choice(tuple(End)),
                dark=chance.random() < 0.15,
                commits=chance.random() < 0.2,
            )
        )
        begins_s += lasts_s + chance.uniform(0.0, 0.5)
    return tuple(lives)
