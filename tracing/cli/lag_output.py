"""Sweeps as tables and as JSON. Names are made harmless for a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from tracing.cli.terminal import iso_time
from tracing.core.text import printable
from tracing.lag.model import Status, longest, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from tracing.lag.model import DeadLetterDepth, GroupLag, PartitionLag, Sweep

_STYLES: Final = {Status.OK: "green", Status.LAGGING: "yellow"}
_BAD: Final = "bold red"
_UNKNOWN: Final = "?"
_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60))


def document(sweep: Sweep) -> dict[str, Any]:
    """Describe a sweep for machines. Times are in seconds; `null` is what is not known."""
    return {
        "at": iso_time(int(sweep.at * 1000)),
        "took_s": round(sweep.took_s, 3),
        "groups": [
            {
                "group": group.group,
                "state": group.state,
                "members": group.members,
                "status": group.status,
                "lag": group.lag,
                "lag_s": _rounded(group.lag_s),
                "partitions": [
                    {**_described(found), "lag_s": _rounded(found.lag_s)}
                    for found in group.partitions
                ],
            }
            for group in sweep.groups
        ],
        "dead_letters": [
            {**_described(found), "oldest_s": _rounded(found.oldest_s)}
            for found in sweep.dead_letters
        ],
        "missing_rights": list(sweep.missing_rights),
        "unanswered": list(sweep.unanswered),
    }


def _described(found: PartitionLag | DeadLetterDepth) -> dict[str, Any]:
    """Describe it; a remark is there only where there is one."""
    described = asdict(found)
    if found.remark is None:
        del described["remark"]
    return described


def print_sweep(sweep: Sweep, console: Console, *, each: bool) -> None:
    """Print a line for each group and topic, or for each partition, and what is to be said."""
    if sweep.groups:
        console.print(_table_of(sweep.groups, each=each))
    else:
        console.print("no consumer groups that may be described have committed anything")
    letters = [found for found in sweep.dead_letters if found.depth]
    if letters:
        table = _table(("dead letters", "oldest"), ("in", "from", "given up by"))
        for found in letters:
            table.add_row(
                f"{found.depth:,}",
                duration(found.oldest_s, exact=True),
                *(Text(printable(name)) for name in (found.topic, found.destination)),
                Text(printable(found.group or _UNKNOWN)),
            )
        console.print(table)
    for note in _notes(sweep):
        console.print(Text(printable(note)), soft_wrap=True)


def duration(seconds: float | None, *, exact: bool) -> str:
    """Write seconds in the largest fitting unit; `~` for what is estimated."""
    if seconds is None:
        return _UNKNOWN
    about = "" if exact else "~"
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{about}{seconds / length:.1f} {unit}"
    return f"{about}{seconds:.1f} s"


def _table_of(groups: Iterable[GroupLag], *, each: bool) -> Table:
    table = _table(
        ("lag", "oldest waits"), ("status", "group", "members", "topic", "partition"),
    )  # fmt: skip
    for group in groups:
        rows = [(str(found.partition), [found]) for found in group.partitions]
        if not each:
            topics: dict[str, list[PartitionLag]] = {}
            for found in group.partitions:
                topics.setdefault(found.topic, []).append(found)
            rows = [(_behind(parts), parts) for parts in topics.values()]
        members = _UNKNOWN if group.members is None else str(group.members)
        for where, parts in rows:
            status = worst([part.status for part in parts])
            table.add_row(
                f"{sum(part.lag for part in parts):,}",
                duration(
                    longest([part.lag_s for part in parts]),
                    exact=all(part.exact for part in parts),
                ),
                Text(status or _UNKNOWN, _STYLES.get(status, _BAD) if status else ""),
                Text(printable(group.group)),
                members,
                Text(printable(parts[0].topic)),
                where,
            )
    return table


def _behind(parts: Sequence[PartitionLag]) -> str:
    behind = sum(part.lag > 0 for part in parts)
    return f"{behind} of {len(parts)} behind"


def _table(right: Sequence[str], left: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _notes(sweep: Sweep) -> Iterable[str]:
    if any(group.status is None for group in sweep.groups):
        yield "status ?: not watched for long enough to tell; --watch 5 goes on watching"
    if any(not found.exact for group in sweep.groups for found in group.partitions):
        yield "~: estimated from when the log grew, as seen from here"
    yield from sweep.remarks
    for right in sweep.missing_rights:
        yield f"the cluster does not allow {right}"
    for what in sweep.unanswered:
        yield f"no answer for {what}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
