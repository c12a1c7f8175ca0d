"""How long `lag` measures before it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from tracing.cli.lag_measure import USUAL_S, Measuring
from tracing.lag import GroupLag, PartitionLag, Status, Sweep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracing.lag import LagMonitor


def sweep(at: float, *statuses: Status | None) -> Sweep:
    groups = [
        GroupLag(
            f"group-{number}", "Stable", 1,
            (PartitionLag("orders", 0, 0, 5, 5, 1.0, True, True, status),), status,
        )
        for number, status in enumerate(statuses)
    ]  # fmt: skip
    return Sweep(at, 0.0, tuple(groups))


class Monitor:
    """Yields sweeps that were made up."""

    def __init__(self, *sweeps: Sweep) -> None:
        self._sweeps = sweeps

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def sweeps(self) -> AsyncGenerator[Sweep]:
        for each in self._sweeps:
            yield each


async def shown(measuring: Measuring, *sweeps: Sweep) -> list[float]:
    results: list[Sweep] = []
    monitor = cast("LagMonitor", cast("Any", Monitor(*sweeps)))
    await measuring.show(monitor, (), (), results.append)
    return [each.at for each in results]


@pytest.mark.parametrize(
    ("measuring", "expected"),
    [
        (Measuring(0), [100.0]),
        (Measuring(2), [102.0]),
        (Measuring(USUAL_S, until_known=True), [103.0]),
        (Measuring(USUAL_S), [112.0]),
        (Measuring(None), [100.0, 101.0, 102.0, 103.0, 112.0, 113.0]),
    ],
)
async def test_the_result_is_the_last_of_the_time_or_the_first_that_knows_everything(
    measuring: Measuring, expected: list[float]
) -> None:
    sweeps = (
        sweep(100, None, Status.OK), sweep(101, Status.OK, None), sweep(102, None),
        sweep(103, Status.DEAD, Status.OK), sweep(112, None), sweep(113, None),
    )  # fmt: skip

    assert expected == await shown(measuring, *sweeps)


async def test_a_status_that_stays_unknown_is_shown_at_the_end() -> None:
    sweeps = [sweep(100 + each, None) for each in range(20)]

    assert [100 + USUAL_S] == await shown(Measuring(USUAL_S, until_known=True), *sweeps)


def test_measurements_are_frequent_enough_for_a_status() -> None:
    assert 1.0 == Measuring(USUAL_S).interval_s
    assert 5 < (Measuring(USUAL_S).window_s or 0) / 2
    assert None is Measuring(0).interval_s
    assert None is Measuring(None).interval_s
