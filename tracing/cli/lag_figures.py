"""Columns of the table of groups that appear only where they say something."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from tracing.core.times import UNKNOWN, duration
from tracing.lag.causes import cause_of
from tracing.lag.model import Cause, longest
from tracing.lag.retention import worst_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tracing.lag.model import PartitionLag, Status

    Cell = Callable[[Sequence[PartitionLag]], str | Text]

_BAD: Final = "bold red"
_NEVER: Final = "never"
_NEARLY_LOST: Final = 0.8
# What is less is shown as 0.
_SHOWN_SHARE: Final = 0.005
_SHOWN_RATE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """The optional columns of a table: functions that make a row's cell, by heading.

    Attributes:
        numbers: Columns of numbers.
        texts: Columns of texts.
    """

    numbers: Mapping[str, Cell]
    texts: Mapping[str, Cell]


def figures_of(partitions: Iterable[PartitionLag]) -> Figures:
    """Return the columns that say something of at least one of the table's partitions."""
    parts = list(partitions)
    retained = [part.retention for part in parts if part.retention is not None]
    numbers: dict[str, Cell] = {}
    if any(use.used >= _SHOWN_SHARE for use in retained):
        numbers["retention used"] = _used
    if any(use.left_s is not None for use in retained):
        numbers["loss in"] = _left
    if any(part.lost for part in parts):
        numbers["lost"] = _lost
    moving = [part.velocity for part in parts if part.velocity is not None]
    if any(max(each.inflow, each.commits) >= _SHOWN_RATE for each in moving):
        numbers |= {"in/s": _inflow, "out/s": _commits}
    if any(each.catch_up_s for each in moving):
        numbers["caught up in"] = _catch_up
    if any(part.catch_up is not None for part in parts):
        numbers["history left"] = _history
    causes = any(part.cause is not None for part in parts)
    return Figures(numbers, {"cause": _cause} if causes else {})


def hot(partitions: Sequence[PartitionLag]) -> str:
    """Return which partitions are hot, with their shares of the inflow; empty if none is."""
    named = [
        f"{part.partition} hot: {part.inflow_share.share:.0%} of inflow"
        for part in partitions
        if part.inflow_share is not None and part.inflow_share.hot
    ]
    return ", ".join(named)


def described(part: PartitionLag) -> dict[str, Any]:
    """Return the figures of a partition as data for JSON. Unknown values are `None`."""
    retention, velocity, inflow = part.retention, part.velocity, part.inflow_share
    history = part.catch_up
    return {
        "lost": part.lost,
        "retention": None
        if retention is None
        else {"used": round(retention.used, 4), "left_s": _rounded(retention.left_s)},
        "velocity": None
        if velocity is None
        else {
            "inflow": _rounded(velocity.inflow),
            "commits": _rounded(velocity.commits),
            "catch_up_s": _time_left(velocity.catch_up_s),
        },
        "inflow_share": None
        if inflow is None
        else {"share": round(inflow.share, 4), "hot": inflow.hot},
        "cause": part.cause,
        "catch_up": None
        if history is None
        else {
            "until": history.until,
            "remaining": history.remaining,
            "rate": _rounded(history.rate),
            "left_s": _time_left(history.left_s),
        },
    }


def _used(parts: Sequence[PartitionLag]) -> str | Text:
    use = worst_use(part.retention for part in parts)
    if use is None:
        return UNKNOWN
    about = "" if all(part.exact for part in parts) else "~"
    return Text(f"{about}{use.used:,.0%}", _BAD if use.used >= _NEARLY_LOST else "")


def _left(parts: Sequence[PartitionLag]) -> str:
    use = worst_use(part.retention for part in parts)
    if use is None:
        return UNKNOWN
    if use.left_s is None:
        return ""
    return duration(use.left_s, exact=all(part.exact for part in parts))


def _lost(parts: Sequence[PartitionLag]) -> Text:
    lost = sum(part.lost for part in parts)
    return Text(f"{lost:,}", _BAD if lost else "")


def _inflow(parts: Sequence[PartitionLag]) -> str:
    return _rate([part.velocity.inflow for part in parts if part.velocity is not None])


def _commits(parts: Sequence[PartitionLag]) -> str:
    return _rate([part.velocity.commits for part in parts if part.velocity is not None])


def _rate(rates: list[float]) -> str:
    return f"{sum(rates):,.1f}" if rates else UNKNOWN


def _catch_up(parts: Sequence[PartitionLag]) -> str | Text:
    seconds = longest(
        [None if part.velocity is None else part.velocity.catch_up_s for part in parts]
    )
    if seconds is not None and isinf(seconds):
        return Text(_NEVER, _BAD)
    return duration(seconds, exact=True)


def _history(parts: Sequence[PartitionLag]) -> str | Text:
    histories = [part.catch_up for part in parts if part.catch_up is not None]
    if not histories:
        return ""
    remaining = f"{sum(history.remaining for history in histories):,}"
    left_s = longest([history.left_s for history in histories])
    if left_s is None:
        return remaining
    if isinf(left_s):
        return Text(f"{remaining}, {_NEVER} done", _BAD)
    return f"{remaining}, {duration(left_s, exact=True)}"


def _cause(parts: Sequence[PartitionLag]) -> str:
    cause = cause_of(parts)
    if cause is None:
        return ""
    if cause is not Cause.ONE_PARTITION:
        return words(cause)
    (part,) = (part for part in parts if part.cause is not None)
    return f"{words(cause)}, {part.partition}: {words(part.cause or cause)}"


def words(value: Cause | Status | None) -> str:
    """Return a cause or a status as words; empty for none."""
    return "" if value is None else value.replace("_", " ")


def _time_left(seconds: float | None) -> float | str | None:
    return _NEVER if seconds is not None and isinf(seconds) else _rounded(seconds)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
