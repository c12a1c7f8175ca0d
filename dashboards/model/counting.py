"""What counters have added in a window: the queries for one series of a counter or of a histogram.

PromQL's `rate()` and `increase()` extrapolate, and ignore the first value of a series. After a
restart, that is all that a service did until its first export; of a rare event, it may be all there
is. So the increase is the last value minus the last one before the window: adjacent windows add up,
and counts are whole numbers. A new series began at 0, so its last value is its increase. To a new
Prometheus, or to one that has had no values for hours, old events look new.

A process may restart as the same series, if its instance has a fixed name, and count from 0 again.
Its last value says nothing about that: it may be higher than before. Two things show a restart: a
value that falls within the window, where `increase()` adds up what came before and after it, or a
value in the window that is lower than the last one before it, where the last value is what has been
counted since. `increase()` adds an interval of exports to those that it has seen, which is taken
off again; what came between the last value before the window and the first one in it is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import BOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

REMEMBERED_FOR: Final = "6h"
"""A series that returns within this time is not new: its old events do not count again."""


def last_of(series: str, window: str) -> str:
    """Return a query for the last values in the window."""
    return f"last_over_time({series}[{window}])"


def last_before(series: str, window: str) -> str:
    """Return a query for the last values before the window."""
    return f"last_over_time({series}[{REMEMBERED_FOR}] offset {window})"


def added(series: str, window: str, counts: str = "", *, buckets: bool = False) -> str:
    """Return a query for what each series has added in the window.

    Args:
        series: The series.
        window: The window.
        counts: Of a sum or a bucket of a histogram, the series of its count. They decide whether
            it has restarted, so that all parts of a histogram are counted in the same way: a
            bucket that was 0 before a restart does not fall. What such a part has counted since
            then is known, but not what it counted in the window before.
        buckets: Whether the series are buckets.
    """
    matching = f" ignoring ({BOUND})" if buckets else ""
    before, last = last_before(series, window), last_of(series, window)
    # All since a restart is what there is at least, also where exports are missing.
    seen = f"{_seen(series, window)} > {last} or {last}"
    restarted = f"(({seen}) and{matching} resets({counts or series}[{window}]) > 0)"
    if counts in {"", series}:
        unbroken = f"{before} <= min_over_time({series}[{window}])"
    else:
        unbroken = (
            f"{before} unless{matching} "
            f"{last_before(counts, window)} > min_over_time({counts}[{window}])"
        )
    return f"{restarted} or {last} - ({unbroken}) >= 0 or {last}"


def _seen(series: str, window: str) -> str:
    """Return a query for the increase between the first and the last value in the window."""
    return f"increase({series}[{window}]) * (1 - 1 / count_over_time({series}[{window}]))"


def added_natively(series: str, window: str) -> str:
    """Return a query for what each native histogram has added in the window.

    It is a histogram. Of one that restarts just before the window and soon has more values than
    before, only what it has more is counted: the lowest of native histograms is not known.
    """
    last, before = last_of(series, window), last_before(series, window)
    return (
        f"({_seen(series, window)} and resets({series}[{window}]) > 0) or {last} - {before} "
        f"and histogram_count({last}) >= histogram_count({before}) or {last}"
    )


def nearly_added(series: str, window: str, counts: str) -> str:
    """Return a query like that of `added` for buckets, at a fraction of its cost.

    It extrapolates old series. Prometheus has no increase of one value, which is what a process
    leaves that has ended early in the window.
    """
    last = last_of(series, window)
    first = f"min_over_time({counts}[{window}])"
    unbroken = f"({last_before(counts, window)} <= {first} unless resets({counts}[{window}]) > 0)"
    # A bucket may be higher after a restart than before. One that has fallen has an increase.
    anew = f"{last} unless ignoring ({BOUND}) {unbroken} unless resets({series}[{window}]) > 0"
    one = f"{last} - last_over_time({series}[5m] offset {window}) >= 0"
    return f"{anew} or increase({series}[{window}]) or {one}"


def fallen(series: str, window: str) -> str:
    """Return a query for the series that have restarted within the window or just before it."""
    first = f"min_over_time({series}[{window}])"
    return f"resets({series}[{window}]) > 0 or {last_before(series, window)} > {first}"


def new_values(series: str, window: str) -> str:
    """Return a query for the last values of the series that have begun in the window."""
    return f"{last_of(series, window)} unless {last_before(series, window)}"


def shared(*, by_process: str, alone: Sequence[str], highest: str, before: str, lowest: str) -> str:
    """Return a query for what a counter has added with which several processes count the same.

    While all of them count, the highest value in the window is compared with the highest before it.
    Where there was none before, it is compared with the lowest value in the window: to a new
    Prometheus, what an old process has counted is not new.

    Args:
        by_process: The most that a process has added.
        alone: What only is if a process counts from 0 after a restart. Then `by_process` is right.
        highest: The highest values in the window.
        before: The highest values before it.
        lowest: The lowest values in the window.
    """
    unbroken = f"{highest} - {before} or {highest} - {lowest}"
    return f"(({by_process} and ({' or '.join(alone)})) or {unbroken})"
