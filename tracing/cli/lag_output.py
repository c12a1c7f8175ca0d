"""Sweeps as tables and as JSON; names are escaped for the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from tracing.cli.lag_figures import described, figures_of, hot, words
from tracing.cli.tables import print_table
from tracing.core.text import printable
from tracing.core.times import UNKNOWN, duration, iso_time
from tracing.lag.model import Status, longest, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from tracing.lag.model import DeadLetterDepth, GroupLag, PartitionLag, Sweep

_STYLES: Final = {
    Status.OK: "green",
    Status.CATCHING_UP: "cyan",
    Status.LAGGING: "yellow",
    Status.ABANDONED: "dim",
}
_BAD: Final = "bold red"


def document(sweep: Sweep) -> dict[str, Any]:
    """Return a sweep as data for JSON. Times are in seconds; unknown values are `None`."""
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
                "cause": group.cause,
                "replaced_by": group.replaced_by,
                "partitions": [
                    {**_described(part), "lag_s": _rounded(part.lag_s), **described(part)}
                    for part in group.partitions
                ],
            }
            for group in sweep.groups
        ],
        "dead_letters": [
            {**_described(depth), "oldest_s": _rounded(depth.oldest_s)}
            for depth in sweep.dead_letters
        ],
        "commands": [asdict(topic) for topic in sweep.commands],
        "cluster": None if sweep.cluster is None else asdict(sweep.cluster),
        "missing_rights": list(sweep.missing_rights),
        "unanswered": list(sweep.unanswered),
        "unknown_retention": list(sweep.unknown_retention),
        "silent": list(sweep.silent),
    }


def _described(measured: PartitionLag | DeadLetterDepth) -> dict[str, Any]:
    described = asdict(measured)
    if measured.remark is None:
        del described["remark"]
    return described


def print_sweep(sweep: Sweep, console: Console, *, each: bool) -> None:
    """Print a line for each group and topic, or for each partition, then notes."""
    if sweep.groups:
        print_table(_table_of(sweep.groups, each=each), console)
    else:
        console.print("no consumer group that may be described has committed an offset")
    dead_letters = [topic for topic in sweep.dead_letters if topic.depth]
    if dead_letters:
        table = _table(("dead letters", "oldest"), ("in", "from", "given up by"))
        for topic in dead_letters:
            table.add_row(
                f"{topic.depth:,}",
                duration(topic.oldest_s, exact=True),
                *(Text(printable(name)) for name in (topic.topic, topic.destination)),
                Text(printable(topic.group or UNKNOWN)),
            )
        print_table(table, console)
    for note in _notes(sweep):
        console.print(Text(printable(note)), soft_wrap=True)


def _table_of(groups: Sequence[GroupLag], *, each: bool) -> Table:
    figures = figures_of(part for group in groups for part in group.partitions)
    table = _table(
        ("lag", "oldest waits", *figures.numbers),
        ("status", *figures.texts, "group", "members", "topic", "partition"),
    )
    for group in groups:
        rows = [(hot([part]) or str(part.partition), [part]) for part in group.partitions]
        if not each:
            rows = [(_behind(parts), parts) for parts in _by_topic(group)]
        members = UNKNOWN if group.members is None else str(group.members)
        for partition, parts in rows:
            status = worst([part.status for part in parts])
            table.add_row(
                f"{sum(part.lag for part in parts):,}",
                duration(
                    longest([part.lag_s for part in parts]),
                    exact=all(part.exact for part in parts),
                ),
                *(cell(parts) for cell in figures.numbers.values()),
                Text(words(status) or UNKNOWN, _STYLES.get(status, _BAD) if status else ""),
                *(cell(parts) for cell in figures.texts.values()),
                Text(printable(group.group)),
                members,
                Text(printable(parts[0].topic)),
                partition,
            )
    return table


def _by_topic(group: GroupLag) -> Iterable[list[PartitionLag]]:
    topics: dict[str, list[PartitionLag]] = {}
    for part in group.partitions:
        topics.setdefault(part.topic, []).append(part)
    return topics.values()


def _behind(parts: Sequence[PartitionLag]) -> str:
    number = sum(part.lag > 0 for part in parts)
    behind = f"{number} of {len(parts)} behind"
    if _committed_alone(parts):
        behind = f"{number} behind, {len(parts)} committed"
    return ", ".join(filter(None, (behind, hot(parts))))


def _committed_alone(parts: Sequence[PartitionLag]) -> bool:
    """Return whether these are only those partitions of a topic that a group has committed on.

    It may have read no record of the others. While members are known to read the topic, the others
    are listed, too.
    """
    return not any(part.assigned or part.committed is None for part in parts)


def _table(right: Sequence[str], left: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _notes(sweep: Sweep) -> Iterable[str]:
    if any(group.status is None for group in sweep.groups):
        yield "status ?: known after about 30 s; --for 30 takes that long, --watch 5 goes on"
    if any(part.catch_up is not None for group in sweep.groups for part in group.partitions):
        yield "catching up: the group started on history, which is no lag of the flow"
    if any(group.abandoned for group in sweep.groups):
        yield (
            "abandoned: no member of the group subscribes to the topic, or another group has "
            "replaced it; kafka-consumer-groups --delete-offsets removes its old offsets"
        )
    if any(_committed_alone(parts) for group in sweep.groups for parts in _by_topic(group)):
        yield (
            "committed: no member is known to read the topic, so only partitions with a committed "
            "offset are counted; the group may never have read the others"
        )
    if any(not part.exact for group in sweep.groups for part in group.partitions):
        yield "~: estimated from the times at which the log was seen to grow"
    if sweep.unknown_retention:
        first, *others = sweep.unknown_retention
        more = f" and {len(others)} more" if others else ""
        yield f"how much retention is used is not known without {first}{more}"
    yield from sweep.remarks
    for right in sweep.missing_rights:
        yield f"the cluster does not allow {right}"
    for what in sweep.unanswered:
        yield f"no answer for {what}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
