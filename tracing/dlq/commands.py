"""The commands `dlq list`, `show`, `replay` and `purge`."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from tracing.dlq.letters import letters
from tracing.dlq.moments import written
from tracing.dlq.options import LetterName, Moment, chosen, connecting, connection_of, selecting
from tracing.dlq.output import (
    console,
    letter_document,
    print_document,
    print_summary,
    summary_document,
)
from tracing.dlq.progress import counting
from tracing.dlq.purging import purge, purgeable
from tracing.dlq.replaying import Replayed, replay
from tracing.dlq.summary import Summary
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from tracing.dlq.connection import Connection
    from tracing.dlq.letters import Letter, LetterId
    from tracing.dlq.selection import Selection

_SHOWN_FAILURES = 10
_PIPELINE = "dead-letters"

_json = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON document.")
_trace_url = click.option(
    "--trace-url",
    envvar="PIPELINE_TRACING_TRACE_URL",
    metavar="URL",
    help="Where a trace is seen; {trace_id} stands for its id (or PIPELINE_TRACING_TRACE_URL).",
)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group()
def dlq() -> None:
    """Look into dead letters, send them back, or delete them."""


@dlq.command("list")
@connecting
@selecting
@click.option("--each", is_flag=True, help="One line for each letter.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many letters, with --each.")
@_json
@_trace_url
def list_command(
    *,
    each: bool,
    limit: int | None,
    as_json: bool,
    trace_url: str | None,
    timeout: float,
    **options: Any,
) -> None:
    """List dead letters by topic, group and error."""
    connection = connection_of(options)

    async def run() -> None:
        topics, selection = await chosen(connection, **options)
        found = _selected(connection, topics, selection, timeout)
        if each:
            async with aclosing(_limited(found, limit)) as few:
                async for letter in few:
                    document = letter_document(letter, trace_url=trace_url)
                    click.echo(json.dumps(document) if as_json else _line(document))
            return
        summary = Summary()
        with counting("letters read") as read:
            async for letter in found:
                summary.add(letter)
                read(1)
        if as_json:
            click.echo(json.dumps(summary_document(summary), indent=2))
        else:
            print_summary(summary, console())

    asyncio.run(run())


@dlq.command("show")
@click.argument("letter_id", metavar="ID", type=LetterName())
@connecting
@click.option(
    "--payload", is_flag=True, help="Show key and value, too; they may hold personal data."
)
@_json
@_trace_url
def show_command(
    *,
    letter_id: LetterId,
    payload: bool,
    as_json: bool,
    trace_url: str | None,
    timeout: float,
    **options: Any,
) -> None:
    """Show the dead letter ID, which is TOPIC/PARTITION/OFFSET: why it failed, and its trace."""
    connection = connection_of(options)

    async def run() -> Letter | None:
        found = letters(connection, [letter_id.topic], only=letter_id, timeout_s=timeout)
        async with aclosing(found):
            return await anext(found, None)

    letter = asyncio.run(run())
    if letter is None:
        raise click.ClickException(f"there is no letter {letter_id}; it may have been purged")
    document = letter_document(letter, trace_url=trace_url, payload=payload)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_document(document, console())


@dlq.command("replay")
@connecting
@selecting
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Letters per second.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many letters.")
@_dry_run
@_yes
@_json
def replay_command(
    *,
    rate: float | None,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Send dead letters back to their topics, for the groups that gave them up.

    Other groups skip them. They stay in the dead-letter topic: purge it when all is well.
    """
    connection = connection_of(options)
    summary, result = Summary(), Replayed()

    async def run() -> None:
        topics, selection = await chosen(connection, **options)
        if selection.everything and not dry_run:
            _confirm("Replay all dead letters?", yes=yes)
        found = _selected(connection, topics, selection, timeout)
        with counting("letters replayed") as told, _telemetry() as telemetry:
            counted = _counted(_limited(found, limit), summary)
            if dry_run:
                async for _ in counted:
                    pass
                return
            await replay(
                connection, counted, telemetry, rate=rate, result=result,
                told=lambda so_far: told(so_far.sent, absolute=True),
            )  # fmt: skip

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        click.echo(f"stopped; {result.sent} letters were replayed", err=True)
        sys.exit(130)
    _report_replay(summary, result, dry_run=dry_run, as_json=as_json)
    if result.failures:
        raise click.ClickException(f"{result.failures} letters could not be replayed")


@dlq.command("purge")
@connecting
@click.option("--topic", "topics", multiple=True, required=True, help="A dead-letter topic.")
@click.option("--before", type=Moment(), help="Only what failed before: 2h, 3d, or a time.")
@click.option("--all", "everything", is_flag=True, help="All letters.")
@click.option("--suffix", default=".dlq", show_default=True)
@_dry_run
@_yes
@_json
def purge_command(
    *,
    topics: tuple[str, ...],
    before: int | None,
    everything: bool,
    suffix: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Delete dead letters for good, from the oldest on.

    Kafka deletes only from the beginning of a partition, so what comes after the first letter
    that is to stay, stays too.
    """
    if (before is None) == (not everything):
        raise click.UsageError("say what to delete: --before AGE or --all")
    for topic in topics:
        if not topic.endswith(suffix):
            raise click.UsageError(
                f"{topic} does not end in {suffix}: this is no dead-letter topic"
            )
    connection = connection_of(options)

    async def look() -> Any:
        return await purgeable(letters(connection, topics, timeout_s=timeout), before_ms=before)

    found = asyncio.run(look())
    if found.letters and not dry_run:
        _confirm(f"Delete {found.letters} dead letters for good?", yes=yes)
        asyncio.run(purge(connection, found))
    if as_json:
        before_text = None if before is None else written(before)
        document = {"deleted": 0 if dry_run else found.letters, "would_delete": found.letters}
        click.echo(json.dumps({**document, "kept": found.kept, "before": before_text}, indent=2))
    else:
        verb = "would be deleted" if dry_run else "deleted"
        click.echo(f"{found.letters} letters {verb}, {found.kept} kept")


async def _selected(
    connection: Connection, topics: list[str], selection: Selection, timeout_s: float
) -> AsyncGenerator[Letter, None]:
    if not topics:
        return
    async with aclosing(letters(connection, topics, timeout_s=timeout_s)) as found:
        async for letter in found:
            if letter in selection:
                yield letter


async def _limited(
    found: AsyncGenerator[Letter, None], limit: int | None
) -> AsyncGenerator[Letter, None]:
    number = 0
    async with aclosing(found):
        async for letter in found:
            yield letter
            number += 1
            if number == limit:
                return


async def _counted(
    found: AsyncGenerator[Letter, None], summary: Summary
) -> AsyncGenerator[Letter, None]:
    async with aclosing(found):
        async for letter in found:
            summary.add(letter)
            yield letter


@contextmanager
def _telemetry() -> Iterator[Telemetry]:
    """Telemetry of the command: exported where the environment names an endpoint, else none."""
    try:
        from tracing import otlp  # noqa: PLC0415 - the extra `cli` does not bring an SDK
    except ModuleNotFoundError:
        yield Telemetry(_PIPELINE)
        return
    if not otlp.configured():
        yield Telemetry(_PIPELINE)
        return
    providers = otlp.configure("pipeline-tracing-dlq")
    try:
        yield providers.telemetry(_PIPELINE)
    finally:
        providers.shutdown()


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: add --yes, or choose letters")
    click.confirm(question, abort=True, err=True)


def _line(document: dict[str, Any]) -> str:
    parts = ("failed_at", "id", "group", "error", "trace_id")
    return "  ".join(str(document.get(part, "-")) for part in parts)


def _report_replay(summary: Summary, result: Replayed, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "dry_run": dry_run,
            "replayed": result.sent,
            "failed": result.failures,
            "failures": {str(place): why for place, why in result.failed.items()},
            "without_provenance": summary.strangers,
            "selected": summary_document(summary)["groups"],
        }
        click.echo(json.dumps(document, indent=2))
        return
    if dry_run:
        print_summary(summary, console())
        click.echo("nothing was sent: this was a dry run")
        return
    click.echo(f"{result.sent} letters replayed, {result.failures} failed")
    if summary.strangers:
        click.echo(f"{summary.strangers} records without provenance were left alone")
    for place, why in list(result.failed.items())[:_SHOWN_FAILURES]:
        click.echo(f"  {place}: {why}", err=True)
    if result.sent and not result.failures:
        click.echo("they are still in the dead-letter topic; when all is well: dlq purge")
