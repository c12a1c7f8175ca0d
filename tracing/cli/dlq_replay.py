"""The command `dlq replay`."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.cli.dlq_output import (
    check_complete,
    print_summary,
    strangers_named,
    summary_document,
    trouble,
)
from tracing.cli.option_types import Positive
from tracing.cli.options import (
    chosen,
    connecting,
    connection_of,
    dry_run_option,
    json_option,
    selecting,
    sure,
    yes_option,
)
from tracing.cli.terminal import console, counting
from tracing.core.text import printable
from tracing.dlq.replaying import Replayed, replay
from tracing.dlq.selection import limited, selected
from tracing.dlq.summary import Summary
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterator

    from tracing.dlq.origins import Origins
    from tracing.dlq.places import LetterId, Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.selection import Selection
    from tracing.kafka.connection import Connection

_SHOWN_FAILURES: Final = 10
_PIPELINE: Final = "dead-letters"


@click.command("replay")
@connecting
@selecting
@click.option("--rate", type=Positive(), help="Letters per second.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many letters.")
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

    A letter goes only to the topic and group whose dead-letter topic it is in; one that says
    otherwise is refused with the reason, the others go on, and the exit code is 1.

    Other groups skip them. They stay in the dead-letter topic: purge it when all is well.
    """
    connection = connection_of(options, timeout)
    run = _Run(limit=limit, rate=rate, dry_run=dry_run)

    async def work() -> None:
        template = options["names"].template
        topics, selection, origins = await chosen(connection, **options)
        if selection.everything and not dry_run:
            sure(_question(topics, selection), yes=yes)
        found = selected(connection, topics, selection, timeout, run.troubles)
        await run.replay(connection, found, origins, template, selection.sources)
        whole = selection.everything and not selection.sources and limit is None
        run.everything = whole and not run.troubles

    problem: BaseException | None = None
    try:
        asyncio.run(work())
    except (KeyboardInterrupt, Exception) as error:
        if not run.summary.read:
            raise
        problem = error
    # However it ended, people have to know what is on its way.
    if as_json:
        click.echo(json.dumps(run.document(ended=problem is None), indent=2))
    else:
        run.print()
    if problem is not None:
        raise problem
    check_complete(run.troubles, read=bool(run.summary.read))
    if run.result.failures:
        raise click.ClickException(f"{run.result.failures} letters could not be replayed")


class _Run:
    """A replay under way, and what to say of it."""

    def __init__(self, *, limit: int | None, rate: float | None, dry_run: bool) -> None:
        self._limit = limit
        self._rate = rate
        self._dry_run = dry_run
        self._last: dict[tuple[str, int], LetterId] = {}
        self.summary = Summary()
        self.result = Replayed()
        self.everything = False
        self.troubles: Troubles = {}

    async def replay(
        self,
        connection: Connection,
        found: AsyncGenerator[Letter, None],
        origins: Origins,
        template: str,
        sources: Collection[str],
    ) -> None:
        with counting("letters replayed") as told, _telemetry() as telemetry:
            async with aclosing(self._counted(limited(found, self._limit), origins)) as counted:
                if self._dry_run:
                    async for _ in counted:
                        pass
                    return
                await replay(
                    connection,
                    counted,
                    telemetry,
                    dead_letter_topic=template,
                    sources=sources,
                    rate=self._rate,
                    result=self.result,
                    told=lambda so_far: told(so_far.sent, absolute=True),
                )

    async def _counted(
        self, found: AsyncGenerator[Letter, None], origins: Origins
    ) -> AsyncGenerator[Letter, None]:
        async with aclosing(found):
            async for letter in found:
                self.summary.add(letter, origins.refusal(letter))
                self._last[letter.id.topic, letter.id.partition] = letter.id
                yield letter

    def document(self, *, ended: bool) -> dict[str, Any]:
        """Describe it for machines."""
        described = summary_document(self.summary)
        return {
            "dry_run": self._dry_run,
            "complete": ended and not self.result.failures and not self.troubles,
            "unread": {name: trouble(error) for name, error in self.troubles.items()},
            "replayed": self.result.sent,
            "for_all_groups": self.result.unaddressed,
            "failed": self.result.failures,
            "failures": {str(place): why for place, why in self.result.failed.items()},
            "without_provenance": described["without_provenance"],
            "without_provenance_ids": described["without_provenance_ids"],
            "unreadable": described["unreadable"],
            "problems": described["problems"],
            "refused": described["refused"],
            "refusals": described["refusals"],
            "selected": described["groups"],
        }

    def print(self) -> None:
        """Describe it for people."""
        if self._dry_run:
            print_summary(self.summary, console())
            click.echo("nothing was sent: this was a dry run")
            return
        sent, failures, strangers = self.result.sent, self.result.failures, self.summary.strangers
        click.echo(f"{sent} letters replayed, {failures} failed")
        if strangers:
            click.echo(
                f"{strangers} records without provenance were left alone: "
                f"{strangers_named(self.summary)}"
            )
        if unaddressed := self.result.unaddressed:
            click.echo(
                f"{unaddressed} of them went to partitions without any record, where no mark "
                "holds: each group that reads them handles them"
            )
        for place, why in list(self.result.failed.items())[:_SHOWN_FAILURES]:
            click.echo(f"  {printable(str(place))}: {printable(why)}", err=True)
        if failures > _SHOWN_FAILURES:
            click.echo(f"  and {failures - _SHOWN_FAILURES} more (--json names them)", err=True)
        if self.everything and sent and not failures and not strangers:
            upper = " ".join(f"--up-to {place}" for place in sorted(self._last.values()))
            click.echo("they are still in the dead-letter topic; to delete them when all is well:")
            click.echo(f"  python -m tracing dlq purge {upper}")
        elif sent:
            click.echo("they are still in the dead-letter topic")


def _question(topics: list[str], selection: Selection) -> str:
    if selection.topics or selection.sources:
        return f"Replay all dead letters of {', '.join(topics)}?"
    return "Replay all dead letters?"


@contextmanager
def _telemetry() -> Iterator[Telemetry]:
    """Telemetry of the command: exported where the environment names an endpoint, else none."""
    try:
        from tracing import otlp  # noqa: PLC0415 - the extra `cli` does not bring an SDK
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
