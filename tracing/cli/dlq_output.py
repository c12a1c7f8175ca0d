"""Dead letters as tables and as JSON; text from records is escaped for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from tracing.cli.dlq_state import (
    counts_document,
    history_lines,
    replayed_text,
    status_document,
    status_words,
)
from tracing.cli.tables import print_table
from tracing.cli.terminal import age, iso_time
from tracing.core.text import printable
from tracing.headers.cloudevents import CloudEvent
from tracing.headers.dead_letter import WRITTEN_BY, Replay

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


def trace_id_of(dead_letter: Letter) -> str | None:
    """Return the failed trace's id, as 32 hexadecimal digits."""
    context = dead_letter.context
    return None if context is None else f"{context.trace_id:032x}"


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
        for (_, source_topic, group, error), counted in ranked:
            table.add_row(
                f"{counted.letters:,}",
                replayed_text(counted, history),
                *(Text(printable(text) or "-") for text in (source_topic, group, error)),
                str(counted.attempts),
                age(counted.oldest_ms),
                age(counted.newest_ms),
                Text(printable(str(counted.example))),
                *([counted.written_by] if of_others else []),
            )
        print_table(table, console)
        console.print(f"{summary.letters:,} dead letters", highlight=False)
    if summary.not_dead_letters:
        console.print(
            Text(
                f"{summary.not_dead_letters:,} records have no provenance, so they are not dead "
                f"letters: {ids_without_provenance(summary)}"
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
        click.echo(f"{name} was not read: {printable(trouble(error))}", err=True)
    raise click.ClickException(
        f"{len(troubles)} partitions or topics could not be read: the output is incomplete"
    )


def trouble(error: Exception) -> str:
    """Return an error's type and text."""
    return f"{type(error).__name__}: {error}"


def unreadable_lines(summary: Summary) -> Iterable[str]:
    """Yield one line for each dead letter that clients cannot read, with the reason."""
    if not summary.unreadable:
        return
    yield f"clients cannot read {summary.unreadable:,} dead letters:"
    for dead_letter_id, why in summary.first_unreadable.items():
        yield f"  {printable(str(dead_letter_id))}: {printable(why)}"
    if more := summary.unreadable - len(summary.first_unreadable):
        yield f"  and {more:,} more (list --each shows them)"


def refused_lines(summary: Summary) -> Iterable[str]:
    """Yield one line for each dead letter that is not replayed, with the reason."""
    if not summary.refused:
        return
    yield f"{summary.refused:,} dead letters are not replayed:"
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
    dead_letter: Letter, refusal: str | None = None, status: ReplayStatus | None = None
) -> str:
    """Return one line for a dead letter: time of failure, id, group, error, event and trace.

    Args:
        dead_letter: The dead letter.
        refusal: Why it is not replayed, if it is not.
        status: What is known about its replays.
    """
    words = None if status is None else status_words(status)
    provenance = dead_letter.provenance
    event = CloudEvent.from_headers(dead_letter.record.headers)
    parts = (
        iso_time(provenance.failed_at_ms) if provenance is not None else None,
        str(dead_letter.id),
        provenance.group if provenance is not None else None,
        provenance.exception if provenance is not None else None,
        event.id if event is not None else None,
        trace_id_of(dead_letter),
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


def dead_letter_document(
    dead_letter: Letter,
    *,
    trace_url: str | None = None,
    payload: bool = False,
    stacktrace: bool = False,
    refusal: str | None = None,
    status: ReplayStatus | None = None,
) -> dict[str, Any]:
    """Return a dead letter as data for JSON; key and value only if `payload`.

    Args:
        dead_letter: The dead letter.
        trace_url: The URL of a trace, with `{trace_id}` for its id.
        payload: Whether to include key and value.
        stacktrace: Whether to include the stack trace.
        refusal: Why it is not replayed, if it is not.
        status: What is known about its replays.
    """
    document: dict[str, Any] = {"id": str(dead_letter.id)}
    document |= {} if status is None else status_document(status)
    document |= {
        name: remark
        for name, remark in (("problem", dead_letter.problem), ("not_replayed", refusal))
        if remark is not None
    }
    provenance = dead_letter.provenance
    if provenance is not None:
        document |= {
            "topic": provenance.topic,
            "partition": provenance.partition,
            "offset": provenance.offset,
            "timestamp": iso_time(provenance.timestamp_ms),
            "group": provenance.group,
            "written_by": provenance.written_by,
            **dict(provenance.details),
            "error": provenance.exception,
            "message": provenance.message,
            "attempts": provenance.attempts,
            "first_failed_at": iso_time(provenance.first_failed_at_ms),
            "failed_at": iso_time(provenance.failed_at_ms),
        }
        if stacktrace and provenance.stacktrace is not None:
            document["stacktrace"] = provenance.stacktrace
    event = CloudEvent.from_headers(dead_letter.record.headers)
    if event is not None:
        document["event"] = {
            "id": event.id, "source": event.source, "type": event.type, "subject": event.subject,
            "time": event.time,
        }  # fmt: skip
    trace_id = trace_id_of(dead_letter)
    if trace_id is not None:
        document["trace_id"] = trace_id
        if trace_url:
            document["trace"] = trace_url.replace("{trace_id}", trace_id)
    replay = Replay.from_headers(dead_letter.record.headers)
    if replay is not None:
        document["replay_of"] = replay.id
    names = sorted({str(name)[:_NAME] for name, _ in dead_letter.record.headers[:_NAMES]})
    document["headers"] = names
    value = dead_letter.record.value
    document["value_bytes"] = None if value is None else len(value)
    return document | _payload(dead_letter) if payload else document


def _payload(dead_letter: Letter) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, content in (("key", dead_letter.record.key), ("value", dead_letter.record.value)):
        shown[name] = (
            None if content is None else content[:_PAYLOAD].decode("utf-8", "backslashreplace")
        )
        if content is not None and len(content) > _PAYLOAD:
            shown[f"{name}_cut_to_bytes"] = _PAYLOAD
    return shown


def print_document(document: dict[str, Any], console: Console, indent: int = 0) -> None:
    """Print a document, one line for each value."""
    for name, value in document.items():
        if isinstance(value, dict):
            console.print(Text(" " * indent + name, "bold"))
            print_document(value, console, indent + 2)
            continue
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        console.print(
            Text.assemble(" " * indent, (f"{name:<16} ", "bold"), printable(shown)),
            soft_wrap=True,
        )
