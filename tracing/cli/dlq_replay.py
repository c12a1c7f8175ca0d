"""The command `dlq replay`."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.cli.dlq_output import (
    check_complete,
    ids_without_provenance,
    print_summary,
    summary_document,
    trouble,
)
from tracing.cli.option_types import Positive
from tracing.cli.options import (
    chosen,
    connecting,
    connection_of,
    dry_run_option,
    formats_of,
    json_option,
    selecting,
    yes_option,
)
from tracing.cli.terminal import confirm, console, counting
from tracing.core.text import printable
from tracing.dlq.replaying import Replayed, replay
from tracing.dlq.selection import limited, selected
from tracing.dlq.summary import Summary
from tracing.headers.dead_letter import WRITTEN_BY
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterator

    from tracing.dlq.origins import Origins
    from tracing.dlq.places import LetterId, Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.selection import Selection
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection

_SHOWN_FAILURES: Final = 10
_PIPELINE: Final = "dead-letters"


@click.command("replay")
@connecting
@selecting
@click.option("--rate", type=Positive(), help="Send at most this many per second.")
@click.option("--limit", type=click.IntRange(min=1), help="Replay at most this many.")
@dry_run_option
@yes_option
@json_option
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

    A dead letter is refused, with the reason, if it does not lie in the dead-letter topic of the
    topic and group that it names. The others are sent, and the exit code is 1.

    Other groups skip the replayed records. The dead letters stay in their topic: purge it when
    they are handled.

    Dead letters of Kafka Connect, Kafka Streams, share groups and Spring go back without the
    headers that these added. Consumers that are not of this library do not skip them, so the
    command asks first. Where only their headers say which topic they came from, name it with
    --topic.
    """
    connection = connection_of(options, timeout)
    formats = formats_of(options)
    run = _Run(limit=limit, rate=rate, dry_run=dry_run, yes=yes, formats=formats)

    async def work() -> None:
        template = options["names"].template
        topics, selection, origins = await chosen(connection, formats=formats, **options)
        if selection.everything and not dry_run:
            confirm(_question(topics, selection), yes=yes)
        dead_letters = selected(connection, topics, selection, timeout, run.troubles, formats)
        await run.replay(connection, dead_letters, origins, template, selection.source_topics)
        whole = selection.everything and not selection.source_topics and limit is None
        run.everything = whole and not run.troubles

    problem: BaseException | None = None
    try:
        asyncio.run(work())
    except (KeyboardInterrupt, Exception) as error:
        if not run.summary.read:
            raise
        problem = error
    # Even after an error, the user has to know what was sent.
    if as_json:
        click.echo(json.dumps(run.document(ended=problem is None), indent=2))
    else:
        run.print()
    if problem is not None:
        raise problem
    check_complete(run.troubles, read=bool(run.summary.read))
    if run.result.failures:
        raise click.ClickException(f"{run.result.failures} dead letters could not be replayed")


class _Run:
    """One replay, and its report."""

    def __init__(
        self,
        *,
        limit: int | None,
        rate: float | None,
        dry_run: bool,
        yes: bool,
        formats: DeadLetterFormats,
    ) -> None:
        self._limit = limit
        self._rate = rate
        self._dry_run = dry_run
        self._yes = yes
        self._formats = formats
        self._confirmed: set[str] = set()
        self._last: dict[tuple[str, int], LetterId] = {}
        self.summary = Summary()
        self.result = Replayed()
        self.everything = False
        self.troubles: Troubles = {}

    async def replay(
        self,
        connection: Connection,
        dead_letters: AsyncGenerator[Letter, None],
        origins: Origins,
        template: str,
        source_topics: Collection[str],
    ) -> None:
        with counting("dead letters replayed") as report, _telemetry() as telemetry:
            async with aclosing(
                self._counted(limited(dead_letters, self._limit), origins)
            ) as counted:
                if self._dry_run:
                    async for _ in counted:
                        pass
                    return
                await replay(
                    connection,
                    counted,
                    telemetry,
                    dead_letter_topic=template,
                    source_topics=source_topics,
                    formats=self._formats,
                    rate=self._rate,
                    result=self.result,
                    on_progress=lambda so_far: report(so_far.sent, absolute=True),
                )

    async def _counted(
        self, dead_letters: AsyncGenerator[Letter, None], origins: Origins
    ) -> AsyncGenerator[Letter, None]:
        async with aclosing(dead_letters):
            async for dead_letter in dead_letters:
                refusal = origins.refusal(dead_letter)
                if refusal is None and not self._dry_run:
                    self._ask(dead_letter)
                self.summary.add(dead_letter, refusal)
                self._last[dead_letter.id.topic, dead_letter.id.partition] = dead_letter.id
                yield dead_letter

    def _ask(self, dead_letter: Letter) -> None:
        """Ask before the first dead letter of another system goes to a topic.

        Raises:
            click.UsageError: There is no terminal to ask at.
            click.Abort: The answer is no.
        """
        provenance = dead_letter.provenance
        if provenance is None or provenance.written_by == WRITTEN_BY:
            return
        if provenance.topic in self._confirmed:
            return
        confirm(
            f"{dead_letter.id} was written by {provenance.written_by}. Consumers that are not of "
            "this library do not know which group a replay is for: all their groups that read "
            f"{provenance.topic} handle it again. Replay such dead letters to {provenance.topic}?",
            yes=self._yes,
            otherwise="add --yes to replay dead letters of other systems",
        )
        self._confirmed.add(provenance.topic)

    def document(self, *, ended: bool) -> dict[str, Any]:
        """Return the report as data for JSON."""
        described = summary_document(self.summary)
        return {
            "dry_run": self._dry_run,
            "complete": ended and not self.result.failures and not self.troubles,
            "unread": {name: trouble(error) for name, error in self.troubles.items()},
            "replayed": self.result.sent,
            "for_all_groups": self.result.unaddressed,
            "of_other_systems": self.result.of_other_systems,
            "failed": self.result.failures,
            "failures": {
                str(dead_letter_id): why for dead_letter_id, why in self.result.failed.items()
            },
            "without_provenance": described["without_provenance"],
            "without_provenance_ids": described["without_provenance_ids"],
            "unreadable": described["unreadable"],
            "problems": described["problems"],
            "refused": described["refused"],
            "refusals": described["refusals"],
            "selected": described["groups"],
        }

    def print(self) -> None:
        """Print the report."""
        if self._dry_run:
            print_summary(self.summary, console())
            click.echo("nothing was sent: this was a dry run")
            return
        sent, failures = self.result.sent, self.result.failures
        not_dead_letters = self.summary.not_dead_letters
        click.echo(f"{sent} dead letters replayed, {failures} failed")
        if not_dead_letters:
            click.echo(
                f"{not_dead_letters} records without provenance were not sent: "
                f"{ids_without_provenance(self.summary)}"
            )
        if unaddressed := self.result.unaddressed:
            click.echo(
                f"{unaddressed} of them are for every group that reads their topic: their group is "
                "unknown, or their partition was empty, where marks do not work"
            )
        if others := self.result.of_other_systems:
            click.echo(
                f"{others} of them are of other systems: every group whose consumers are not of "
                "this library handles them"
            )
        for dead_letter_id, why in list(self.result.failed.items())[:_SHOWN_FAILURES]:
            click.echo(f"  {printable(str(dead_letter_id))}: {printable(why)}", err=True)
        if failures > _SHOWN_FAILURES:
            click.echo(f"  and {failures - _SHOWN_FAILURES} more (--json names them)", err=True)
        if self.everything and sent and not failures and not not_dead_letters:
            upper = " ".join(f"--up-to {last}" for last in sorted(self._last.values()))
            click.echo("they stay in the dead-letter topic; to delete them once they are handled:")
            click.echo(f"  python -m tracing dlq purge {upper}")
        elif sent:
            click.echo("they stay in the dead-letter topic")


def _question(topics: list[str], selection: Selection) -> str:
    if selection.topics or selection.source_topics:
        return f"Replay all dead letters of {', '.join(topics)}?"
    return "Replay all dead letters?"


@contextmanager
def _telemetry() -> Iterator[Telemetry]:
    """Yield telemetry, exported only if the environment names an endpoint."""
    try:
        from tracing import otlp  # noqa: PLC0415 - the extra `cli` brings no SDK
    except ImportError:
        yield Telemetry(_PIPELINE)
        return
    if not any(otlp.configured(signal) for signal in ("traces", "metrics", "logs")):
        yield Telemetry(_PIPELINE)
        return
    providers = otlp.configure("pipeline-tracing-dlq")
    try:
        yield providers.telemetry(_PIPELINE)
    finally:
        providers.shutdown()
