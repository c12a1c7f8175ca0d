"""What `dlq replay` does and reports."""

from __future__ import annotations

from contextlib import aclosing
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from tracing.cli.dlq_chosen import chosen
from tracing.cli.dlq_output import (
    check_complete,
    ids_without_provenance,
    print_summary,
    summary_document,
)
from tracing.cli.dlq_sending import confirm_other_system, replay_telemetry
from tracing.cli.dlq_state import ask_again, counted_again, note_missing
from tracing.cli.terminal import confirm, console, counting
from tracing.core.text import counted, error_text, printable
from tracing.dlq.replay_log import ReplayLog
from tracing.dlq.replayed import ReplayHistory
from tracing.dlq.replaying import Replayed, replay
from tracing.dlq.selection import limited, selected, unreplayed
from tracing.dlq.summary import Summary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from tracing.dlq.origins import Origins
    from tracing.dlq.places import LetterId, Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.selection import Selection
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection

_SHOWN_FAILURES: Final = 10


class Plan(NamedTuple):
    """The options of a replay, but for those that select dead letters."""

    rate: float | None
    limit: int | None
    not_replayed: bool
    replay_topic: str
    remember: bool
    dry_run: bool
    yes: bool
    timeout_s: float


class Run:
    """One replay, and its report."""

    def __init__(
        self, connection: Connection, plan: Plan, formats: DeadLetterFormats, same: list[str]
    ) -> None:
        self._connection = connection
        self._plan = plan
        self._formats = formats
        self._same = same
        self._confirmed: set[str] = set()
        self._last: dict[tuple[str, int], LetterId] = {}
        self._history = ReplayHistory()
        self._everything = False
        self._troubles: Troubles = {}
        self.summary = Summary()
        self.result = Replayed()

    async def work(self, **options: Any) -> None:
        """Replay what the options select, after the questions that this needs."""
        plan, connection = self._plan, self._connection
        template = options["names"].template
        topics, selection, origins, sources = await chosen(
            connection, formats=self._formats, replay_topic=plan.replay_topic, **options
        )
        if selection.everything and topics and not plan.dry_run:
            confirm(_question(topics, selection), yes=plan.yes)
        async with ReplayLog(
            connection,
            plan.replay_topic,
            dead_letter_topics=topics,
            timeout_s=plan.timeout_s,
        ) as log:
            note_missing(log)
            self._history = log.history
            if log.history and not (plan.dry_run or plan.yes):
                before = self._reading(topics, selection, {}, set())
                ask_again(await counted_again(before, log.history), yes=plan.yes)
            dead_letters = self._reading(topics, selection, self._troubles, sources.unseen)
            await self._replay(dead_letters, origins, template, selection.source_topics, log)
        if not self._troubles and (plan.limit is None or self.summary.read < plan.limit):
            sources.check()
        whole = selection.everything and not selection.source_topics and plan.limit is None
        self._everything = whole and not plan.not_replayed and not self._troubles

    def _reading(
        self, topics: list[str], selection: Selection, troubles: Troubles, unseen: set[str]
    ) -> AsyncGenerator[Letter, None]:
        plan = self._plan
        dead_letters = selected(
            self._connection, topics, selection, plan.timeout_s, troubles, self._formats,
            unseen=unseen,
        )  # fmt: skip
        if plan.not_replayed:
            dead_letters = unreplayed(dead_letters, self._history)
        return limited(dead_letters, plan.limit)

    async def _replay(
        self,
        dead_letters: AsyncGenerator[Letter, None],
        origins: Origins,
        template: str,
        source_topics: Collection[str],
        log: ReplayLog,
    ) -> None:
        with counting("dead letters replayed") as report, replay_telemetry() as telemetry:
            async with aclosing(self._counted(dead_letters, origins)) as counted:
                if self._plan.dry_run:
                    async for _ in counted:
                        pass
                    return
                await replay(
                    self._connection,
                    counted,
                    telemetry,
                    dead_letter_topic=template,
                    source_topics=source_topics,
                    formats=self._formats,
                    rate=self._plan.rate,
                    result=self.result,
                    on_progress=lambda so_far: report(so_far.sent, absolute=True),
                    remember=self._plan.remember,
                    log=log,
                )

    async def _counted(
        self, dead_letters: AsyncGenerator[Letter, None], origins: Origins
    ) -> AsyncGenerator[Letter, None]:
        async with aclosing(dead_letters):
            async for dead_letter in dead_letters:
                refusal = origins.refusal(dead_letter)
                if refusal is None and not self._plan.dry_run:
                    self._ask(dead_letter)
                self.summary.add(dead_letter, refusal, self._history.status(dead_letter).state)
                self._last[dead_letter.id.topic, dead_letter.id.partition] = dead_letter.id
                yield dead_letter

    def _ask(self, dead_letter: Letter) -> None:
        """Ask before the first dead letter of another system goes to a topic.

        Raises:
            click.UsageError: There is no terminal to ask at.
            click.Abort: The answer is no.
        """
        provenance = dead_letter.provenance
        if provenance is None or provenance.topic in self._confirmed:
            return
        if confirm_other_system(dead_letter.id, provenance, yes=self._plan.yes):
            self._confirmed.add(provenance.topic)

    def check(self) -> None:
        """Check that all was read, sent and remembered.

        Raises:
            Exception: Nothing could be read.
            click.ClickException: Not all was.
        """
        check_complete(self._troubles, read=bool(self.summary.read))
        if failures := self.result.failures:
            raise click.ClickException(f"{counted(failures, 'dead letter')} could not be replayed")
        if unrecorded := self.result.unrecorded:
            raise click.ClickException(
                f"the replay of {counted(unrecorded, 'dead letter')} could not be recorded in "
                f"{self._plan.replay_topic}: listed as perhaps replayed"
            )

    def document(self, *, ended: bool) -> dict[str, Any]:
        """Return the report as data for JSON."""
        described = summary_document(self.summary, self._history)
        return {
            "dry_run": self._plan.dry_run,
            "complete": ended and not self.result.failures and not self._troubles,
            "unread": {name: error_text(error) for name, error in self._troubles.items()},
            "replayed": self.result.sent,
            "replayed_before": described["replayed"],
            "perhaps_replayed_before": described["perhaps_replayed"],
            "for_all_groups": self.result.unaddressed,
            "of_other_systems": self.result.of_other_systems,
            "unrecorded": self.result.unrecorded,
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
        if self._plan.dry_run:
            print_summary(self.summary, console(), self._history)
            click.echo("nothing was sent: this was a dry run")
            return
        sent, failures = self.result.sent, self.result.failures
        not_dead_letters = self.summary.not_dead_letters
        click.echo(f"{counted(sent, 'dead letter')} replayed, {failures} failed")
        if not_dead_letters:
            click.echo(
                f"not sent: {counted(not_dead_letters, 'record')} without provenance, "
                f"{ids_without_provenance(self.summary)}"
            )
        if unaddressed := self.result.unaddressed:
            click.echo(
                f"{counted(unaddressed, 'of them is', 'of them are')} for every group that reads "
                "the topic: the group is unknown, or the partition was empty, where marks do not "
                "work"
            )
        if others := self.result.of_other_systems:
            click.echo(
                f"{counted(others, 'of them is', 'of them are')} of other systems: every group "
                "whose consumers are not of this library handles what is replayed"
            )
        for dead_letter_id, why in list(self.result.failed.items())[:_SHOWN_FAILURES]:
            click.echo(f"  {printable(str(dead_letter_id))}: {printable(why)}", err=True)
        if failures > _SHOWN_FAILURES:
            click.echo(f"  and {failures - _SHOWN_FAILURES} more (--json names them)", err=True)
        if self._everything and sent and not failures and not not_dead_letters:
            upper = [f"--up-to {quote(str(last))}" for last in sorted(self._last.values())]
            click.echo("they stay in the dead-letter topic; to delete them once they are handled:")
            click.echo(f"  python -m tracing dlq purge {' '.join([*upper, *self._same])}")
        elif sent:
            click.echo("they stay in the dead-letter topic")


def _question(topics: list[str], selection: Selection) -> str:
    if selection.topics or selection.source_topics:
        return f"Replay all dead letters of {', '.join(topics)}?"
    return "Replay all dead letters?"
