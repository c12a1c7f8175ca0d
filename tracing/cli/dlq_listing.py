"""The output of `dlq list`."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import click

from tracing.cli.dlq_output import (
    check_complete,
    dead_letter_line,
    print_summary,
    summary_document,
)
from tracing.cli.dlq_state import history_lines, is_pending
from tracing.cli.terminal import console, counting
from tracing.core.text import error_text
from tracing.dlq.documents import dead_letter_document
from tracing.dlq.selection import limited
from tracing.dlq.summary import Summary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracing.dlq.origins import Origins
    from tracing.dlq.places import Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayHistory


class Format(NamedTuple):
    """How to print dead letters."""

    limit: int | None
    trace_url: str | None
    as_json: bool


class Listing:
    """Prints dead letters, and counts those that may wait for a replay.

    Attributes:
        pending: Number of those.
        cut: Whether the limit was reached, so that others may not have been read.
    """

    def __init__(
        self, origins: Origins, history: ReplayHistory, troubles: Troubles, format_: Format
    ) -> None:
        self._origins = origins
        self._history = history
        self._troubles = troubles
        self._format = format_
        self.pending = 0
        self.cut = False

    async def print_summary(self, dead_letters: AsyncGenerator[Letter, None]) -> None:
        """Print them by topic, group and error."""
        history, troubles = self._history, self._troubles
        summary = Summary()
        with counting("dead letters read") as read:
            async for dead_letter in self._counted(dead_letters):
                refusal = self._origins.refusal(dead_letter)
                summary.add(dead_letter, refusal, history.status(dead_letter).state)
                read(1)
        if self._format.as_json:
            document = {
                **summary_document(summary, history),
                "replays_unknown": history.problem,
                "unread": {name: error_text(error) for name, error in troubles.items()},
            }
            click.echo(json.dumps(document, indent=2))
        elif summary.read or not troubles:
            print_summary(summary, console(), history)
        check_complete(troubles, read=bool(summary.read) or self._format.as_json)

    async def print_each(self, dead_letters: AsyncGenerator[Letter, None]) -> None:
        """Print them one by one, as they arrive."""
        printing = self._print_documents if self._format.as_json else self._print_lines
        async with aclosing(limited(self._counted(dead_letters), self._format.limit)) as few:
            number = await printing(few)
        self.cut = number == self._format.limit
        for line in history_lines(self._history):
            click.echo(line, err=True)
        check_complete(self._troubles, read=bool(number))

    async def _counted(
        self, dead_letters: AsyncGenerator[Letter, None]
    ) -> AsyncGenerator[Letter, None]:
        async with aclosing(dead_letters):
            async for dead_letter in dead_letters:
                self.pending += is_pending(dead_letter, self._history.status(dead_letter))
                yield dead_letter

    async def _print_lines(self, few: AsyncGenerator[Letter, None]) -> int:
        number = 0
        async for dead_letter in few:
            refusal = self._origins.refusal(dead_letter)
            status, url = self._history.status(dead_letter), self._format.trace_url
            click.echo(dead_letter_line(dead_letter, refusal, status, trace_url=url))
            number += 1
        return number

    async def _print_documents(self, few: AsyncGenerator[Letter, None]) -> int:
        """Print one JSON document, without holding all dead letters in memory."""
        number = 0
        async for dead_letter in few:
            document = dead_letter_document(
                dead_letter,
                trace_url=self._format.trace_url,
                refusal=self._origins.refusal(dead_letter),
                status=self._history.status(dead_letter),
            )
            start = "," if number else "["
            click.echo(f"{start}\n  {json.dumps(document)}", nl=False)
            number += 1
        click.echo("\n]" if number else "[]")
        return number
