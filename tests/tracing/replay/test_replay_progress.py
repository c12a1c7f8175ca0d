from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tracing.replay import LogPartition, LogRange, Position, progress
from tracing.replay.positions import AtOffset, AtTime
from tracing.replay.progress import Account

if TYPE_CHECKING:
    from tracing import Telemetry

PARTITION = LogPartition("orders", 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def test_rate_and_time_left_follow_the_last_seconds(
    telemetry: Telemetry, clock: list[float]
) -> None:
    account = Account(telemetry, "orders", 2, resumed=True)
    for second in range(1, 41):
        # It begins fast, and becomes slow.
        account.read("applied", 1000 if second <= 20 else 100)
        clock[0] += 1
        account.measure({PARTITION: 10_000}, {PARTITION: Position(9_000)})
    state = account.progress()
    account.close()

    assert (100.0, 1000, 10.0, 40.0, 22_000) == (
        state.rate, state.remaining, state.left_s, state.elapsed_s, state.records,
    )  # fmt: skip
    assert state.resumed


def test_nothing_left_takes_no_time_and_an_unknown_rate_gives_none(
    telemetry: Telemetry, clock: list[float]
) -> None:
    account = Account(telemetry, "orders", 2, resumed=False)
    assert 0.0 == account.progress().left_s
    account.measure({PARTITION: 5}, {PARTITION: Position(0)})
    clock[0] += 1
    account.measure({PARTITION: 5}, {PARTITION: Position(0)})
    assert None is account.progress().left_s
    account.close()


def test_places_in_a_log_have_names_for_people() -> None:
    assert "orders[3]" == str(LogPartition("orders", 3))
    assert "offset 7" == str(AtOffset(7))
    assert "1970-01-01T00:00:01.500000+00:00" == str(AtTime(1500))
    with pytest.raises(ValueError, match="an offset is 0 or more, not -1"):
        AtOffset(-1)


def test_a_range_holds_what_lies_between_its_ends() -> None:
    held = LogRange(10, 20)

    assert [10, 10, 15, 20] == [held.clamped(offset) for offset in (0, 10, 15, 99)]
    assert (10, 0) == (held.records, LogRange(5, 5).records)
