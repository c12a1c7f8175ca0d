"""Dead letters as tables and as JSON; text from records is escaped for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from tracing.cli.dlq_state import counts_document, history_lines, replayed_text
from tracing.cli.option_types import TRACE_ID
from tracing.cli.tables import print_table
from tracing.core.text import counted, error_text, printable
from tracing.core.times import age, iso_time
from tracing.dlq.documents import status_words, trace_id_of
from tracing.headers.cloudevents import CloudEvent
from tracing.headers.dead_letter import WRITTEN_BY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from tracing.dlq.places import Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayHistory, ReplayStatus
    from tracing.dlq.summary import Summary

_PAYLOAD = 2000
_NAME = 200
_NAMES = 256
_LONGEST_LIST = 60


def print_summary(summary: Summary, console: Console, history: ReplayHistory) -> None:
    """Print one line for each topic, group and error, the most frequent first."""
    if not summary.groups:
        console.print("no dead letters")
    else:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name in (
            "dead letters", "replayed", "topic", "group", "error", "attempts", "oldest", "newest",
        ):  # fmt: skip
            right = name in {"dead letters", "replayed", "attempts", "oldest", "newest"}
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        table.add_column("example", overflow="fold")
        of_others = any(each.written_by != WRITTEN_BY for each in summary.groups.values())
        if of_others:
            table.add_column("written by", overflow="fold")
        ranked = sorted(summary.groups.items(), key=lambda item: (-item[1].letters, item[0]))
        for (_, source_topic, group, error), figures in ranked:
            table.add_row(
                f"{figures.letters:,}",
                replayed_text(figures, history),
                *(Text(printable(text) or "-") for text in (source_topic, group, error)),
                str(figures.attempts),
                age(figures.oldest_ms),
                age(figures.newest_ms),
                Text(printable(str(figures.example))),
                *([figures.written_by] if of_others else []),
            )
        print_table(table, console)
        console.print(counted(summary.letters, "dead letter"), highlight=False)
    if summary.not_dead_letters:
        console.print(
            Text(
                "without provenance, and so not dead letters: "
                f"{counted(summary.not_dead_letters, 'record')}, {ids_without_provenance(summary)}"
            )
        )
    for line in (
        *unreadable_lines(summary), *refused_lines(summary), *history_lines(history),
    ):  # fmt: skip
        console.print(Text(line), soft_wrap=True)


def check_complete(troubles: Troubles, *, read: bool) -> None:
    """Report the topics and partitions that could not be read.

    Args:
        troubles: The topics and partitions, with the errors.
        read: Whether anything was read.

    Raises:
        Exception: The first error, if nothing was read.
        click.ClickException: Only part of the topics and partitions was read.
    """
    if not troubles:
        return
    if not read:
        raise next(iter(troubles.values()))
    for name, error in troubles.items():
        click.echo(f"{name} was not read: {printable(error_text(error))}", err=True)
    raise click.ClickException(
        f"{counted(len(troubles), 'partition or topic', 'partitions or topics')} could not be "
        "read: the output is incomplete"
    )


def unreadable_lines(summary: Summary) -> Iterable[str]:
    """Yield one line for each dead letter that clients cannot read, with the reason."""
    if not summary.unreadable:
        return
    yield f"clients cannot read {counted(summary.unreadable, 'dead letter')}:"
    for dead_letter_id, why in summary.first_unreadable.items():
        yield f"  {printable(str(dead_letter_id))}: {printable(why)}"
    if more := summary.unreadable - len(summary.first_unreadable):
        yield f"  and {more:,} more (list --each shows them)"


def refused_lines(summary: Summary) -> Iterable[str]:
    """Yield one line for each dead letter that is not replayed, with the reason."""
    if not summary.refused:
        return
    yield f"{counted(summary.refused, 'dead letter is', 'dead letters are')} not replayed:"
    ids_by_reason: dict[str, list[str]] = {}
    for dead_letter_id, why in summary.first_refused.items():
        ids_by_reason.setdefault(why, []).append(printable(str(dead_letter_id)))
    for why, ids in ids_by_reason.items():
        yield f"  {', '.join(ids)}: {printable(why)}"
    if more := summary.refused - len(summary.first_refused):
        yield f"  and {more:,} more (list --each shows them)"


def ids_without_provenance(summary: Summary) -> str:
    """Return the ids of the first records without provenance, and how many more there are."""
    more = summary.not_dead_letters - len(summary.first_not_dead_letters)
    names = [printable(str(dead_letter_id)) for dead_letter_id in summary.first_not_dead_letters]
    return ", ".join([*names, *([f"and {more} more"] if more else [])])


def dead_letter_line(
    dead_letter: Letter,
    refusal: str | None = None,
    status: ReplayStatus | None = None,
    *,
    trace_url: str | None = None,
) -> str:
    """Return one line for a dead letter: time of failure, id, group, error, event and trace.

    Args:
        dead_letter: The dead letter.
        refusal: Why it is not replayed, if it is not.
        status: What is known about its replays.
        trace_url: The URL of a trace, with a place for its id; by default the id alone is printed.
    """
    trace = trace_id_of(dead_letter)
    if trace and trace_url:
        trace = trace_url.replace(TRACE_ID, trace)
    words = None if status is None else status_words(status)
    provenance = dead_letter.provenance
    event = CloudEvent.from_headers(dead_letter.record.headers)
    parts = (
        iso_time(provenance.failed_at_ms) if provenance is not None else None,
        str(dead_letter.id),
        provenance.group if provenance is not None else None,
        provenance.exception if provenance is not None else None,
        event.id if event is not None else None,
        trace,
        *(() if dead_letter.problem is None else (f"cannot be read: {dead_letter.problem}",)),
        *(() if refusal is None or provenance is None else (f"not replayed: {refusal}",)),
        *(() if words is None else (words,)),
    )
    return "  ".join(printable(part) if part else "-" for part in parts)


def summary_document(summary: Summary, history: ReplayHistory) -> dict[str, Any]:
    """Return a summary as data for JSON."""
    return {
        "letters": summary.letters,
        **counts_document(summary, history),
        "without_provenance": summary.not_dead_letters,
        "without_provenance_ids": [
            str(dead_letter_id) for dead_letter_id in summary.first_not_dead_letters
        ],
        "unreadable": summary.unreadable,
        "problems": {
            str(dead_letter_id): why for dead_letter_id, why in summary.first_unreadable.items()
        },
        "refused": summary.refused,
        "refusals": {
            str(dead_letter_id): why for dead_letter_id, why in summary.first_refused.items()
        },
        "groups": [
            {
                "dead_letter_topic": topic,
                "topic": source_topic,
                "group": group,
                "error": error,
                "letters": counted.letters,
                **counts_document(counted, history),
                "max_attempts": counted.attempts,
                "oldest": iso_time(counted.oldest_ms),
                "newest": iso_time(counted.newest_ms),
                "example": str(counted.example),
                "written_by": counted.written_by,
            }
            for (topic, source_topic, group, error), counted in sorted(summary.groups.items())
        ],
    }


def print_document(document: dict[str, Any], console: Console, indent: int = 0) -> None:
    """Print a document, one line for each value; a long list has a line for each element."""
    for name, value in document.items():
        if isinstance(value, dict):
            console.print(Text(" " * indent + name, "bold"))
            print_document(value, console, indent + 2)
            continue
        shown = [", ".join(value)] if isinstance(value, list) else [str(value)]
        if isinstance(value, list) and len(shown[0]) > _LONGEST_LIST:
            shown = value
        for number, text in enumerate(shown):
            heading = "" if number else name
            console.print(
                Text.assemble(" " * indent, (f"{heading:<16} ", "bold"), printable(text)),
                soft_wrap=True,
            )
