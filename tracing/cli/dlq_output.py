"""Dead letters as tables and as JSON. What came from a record is made harmless for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from tracing.cli.terminal import age, iso_time
from tracing.core.text import printable
from tracing.headers.cloudevents import CloudEvent
from tracing.headers.dead_letter import Replay

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from tracing.dlq.places import Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.summary import Summary

_PAYLOAD = 2000
_NAME = 200
_NAMES = 256


def trace_id_of(letter: Letter) -> str | None:
    """The trace that failed, as 32 hexadecimal digits."""
    context = letter.context
    return None if context is None else f"{context.trace_id:032x}"


def print_summary(summary: Summary, console: Console) -> None:
    """Print one line for each kind of letter, the most frequent first."""
    if not summary.groups:
        console.print("no dead letters")
    else:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name in ("letters", "topic", "group", "error", "attempts", "oldest", "newest"):
            right = name in {"letters", "attempts", "oldest", "newest"}
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        table.add_column("for example", overflow="fold")
        ranked = sorted(summary.groups.items(), key=lambda item: (-item[1].letters, item[0]))
        for (_, source, group, error), found in ranked:
            table.add_row(
                f"{found.letters:,}",
                *(Text(printable(text)) for text in (source, group, error)),
                str(found.attempts),
                age(found.oldest_ms),
                age(found.newest_ms),
                Text(printable(str(found.example))),
            )
        console.print(table)
        console.print(f"{summary.letters:,} dead letters", highlight=False)
    if summary.strangers:
        console.print(
            Text(
                f"{summary.strangers:,} records without provenance, which are no dead letters: "
                f"{strangers_named(summary)}"
            )
        )
    for line in (*unreadable_lines(summary), *refused_lines(summary)):
        console.print(Text(line), soft_wrap=True)


def check_complete(troubles: Troubles, *, read: bool) -> None:
    """Say what could not be read.

    Args:
        troubles: What could not be read, and why.
        read: Whether anything was read.

    Raises:
        Exception: Why nothing could be read.
        click.ClickException: Something was read, and something could not be.
    """
    if not troubles:
        return
    if not read:
        raise next(iter(troubles.values()))
    for name, error in troubles.items():
        click.echo(f"{name} was not read: {printable(trouble(error))}", err=True)
    raise click.ClickException(
        f"{len(troubles)} partitions or topics could not be read: this is not all"
    )


def trouble(error: Exception) -> str:
    """Describe why something could not be read."""
    return f"{type(error).__name__}: {error}"


def unreadable_lines(summary: Summary) -> Iterable[str]:
    """Say which letters cannot be read, and why, one line for each."""
    if not summary.unreadable:
        return
    yield f"{summary.unreadable:,} letters cannot be read by clients:"
    for place, why in summary.named_unreadable.items():
        yield f"  {printable(str(place))}: {printable(why)}"
    if more := summary.unreadable - len(summary.named_unreadable):
        yield f"  and {more:,} more (list --each shows them)"


def refused_lines(summary: Summary) -> Iterable[str]:
    """Say which letters do not come from where they say, and why, one line for each."""
    if not summary.refused:
        return
    yield f"{summary.refused:,} letters do not come from where they say and are not replayed:"
    for place, why in summary.named_refused.items():
        yield f"  {printable(str(place))}: {printable(why)}"
    if more := summary.refused - len(summary.named_refused):
        yield f"  and {more:,} more (list --each shows them)"


def strangers_named(summary: Summary) -> str:
    """Name the records without provenance, as many as are known by name."""
    more = summary.strangers - len(summary.named_strangers)
    names = [printable(str(place)) for place in summary.named_strangers]
    return ", ".join([*names, *([f"and {more} more"] if more else [])])


def letter_line(letter: Letter, refusal: str | None = None) -> str:
    """Describe a letter in one line: when it failed, its id, group, error, event and trace.

    Args:
        letter: The letter.
        refusal: Why it is not replayed.
    """
    found = letter.provenance
    event = CloudEvent.from_headers(letter.record.headers)
    parts = (
        iso_time(found.failed_at_ms) if found is not None else None,
        str(letter.id),
        found.group if found is not None else None,
        found.exception if found is not None else None,
        event.id if event is not None else None,
        trace_id_of(letter),
        *(() if letter.problem is None else (f"cannot be read: {letter.problem}",)),
        *(() if refusal is None or found is None else (f"not replayed: {refusal}",)),
    )
    return "  ".join(printable(part) if part else "-" for part in parts)


def summary_document(summary: Summary) -> dict[str, Any]:
    """Describe a summary for machines."""
    return {
        "letters": summary.letters,
        "without_provenance": summary.strangers,
        "without_provenance_ids": [str(place) for place in summary.named_strangers],
        "unreadable": summary.unreadable,
        "problems": {str(place): why for place, why in summary.named_unreadable.items()},
        "refused": summary.refused,
        "refusals": {str(place): why for place, why in summary.named_refused.items()},
        "groups": [
            {
                "dead_letter_topic": topic,
                "topic": source,
                "group": group,
                "error": error,
                "letters": found.letters,
                "max_attempts": found.attempts,
                "oldest": iso_time(found.oldest_ms),
                "newest": iso_time(found.newest_ms),
                "example": str(found.example),
            }
            for (topic, source, group, error), found in sorted(summary.groups.items())
        ],
    }


def letter_document(
    letter: Letter,
    *,
    trace_url: str | None = None,
    payload: bool = False,
    refusal: str | None = None,
) -> dict[str, Any]:
    """Describe a letter for machines; its key and value only where asked for.

    Args:
        letter: The letter.
        trace_url: Where a trace is seen.
        payload: Whether to show key and value.
        refusal: Why it is not replayed.
    """
    document: dict[str, Any] = {"id": str(letter.id)}
    document |= {
        name: remark
        for name, remark in (("problem", letter.problem), ("not_replayed", refusal))
        if remark is not None
    }
    found = letter.provenance
    if found is not None:
        document |= {
            "topic": found.topic,
            "partition": found.partition,
            "offset": found.offset,
            "timestamp": iso_time(found.timestamp_ms),
            "group": found.group,
            "error": found.exception,
            "message": found.message,
            "attempts": found.attempts,
            "first_failed_at": iso_time(found.first_failed_at_ms),
            "failed_at": iso_time(found.failed_at_ms),
        }
        if found.stacktrace is not None:
            document["stacktrace"] = found.stacktrace
    event = CloudEvent.from_headers(letter.record.headers)
    if event is not None:
        document["event"] = {
            "id": event.id, "source": event.source, "type": event.type, "subject": event.subject,
            "time": event.time,
        }  # fmt: skip
    trace_id = trace_id_of(letter)
    if trace_id is not None:
        document["trace_id"] = trace_id
        if trace_url:
            document["trace"] = trace_url.replace("{trace_id}", trace_id)
    replay = Replay.from_headers(letter.record.headers)
    if replay is not None:
        document["replay_of"] = replay.id
    names = sorted({str(name)[:_NAME] for name, _ in letter.record.headers[:_NAMES]})
    document["headers"] = names
    value = letter.record.value
    document["value_bytes"] = None if value is None else len(value)
    return document | _payload(letter) if payload else document


def _payload(letter: Letter) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, content in (("key", letter.record.key), ("value", letter.record.value)):
        shown[name] = (
            None if content is None else content[:_PAYLOAD].decode("utf-8", "backslashreplace")
        )
        if content is not None and len(content) > _PAYLOAD:
            shown[f"{name}_cut_to_bytes"] = _PAYLOAD
    return shown


def print_document(document: dict[str, Any], console: Console, indent: int = 0) -> None:
    """Print a letter's description, one line for each thing that is known."""
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
