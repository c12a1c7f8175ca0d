"""Whether dead letters were replayed: the words and questions of the commands."""

from __future__ import annotations

import sys
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import click

from tracing.cli.terminal import ask
from tracing.core.text import printable
from tracing.core.times import iso_time
from tracing.delivery.dead_letter_names import REPLAY_TOPIC
from tracing.dlq.replayed import ReplayState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from tracing.dlq.reading import Letter
    from tracing.dlq.replay_log import ReplayLog
    from tracing.dlq.replayed import ReplayHistory, ReplayStatus


class Counted(Protocol):
    """Counts of dead letters: of a group, or of all."""

    @property
    def replayed(self) -> int:
        """Number of dead letters that were replayed."""

    @property
    def perhaps_replayed(self) -> int:
        """Number of dead letters that were perhaps replayed."""


@dataclass(slots=True)
class Again:
    """How many dead letters a replay would, or might, send again.

    Attributes:
        replayed: Number of dead letters that were replayed.
        perhaps: Number of dead letters that a replay has begun to send, without an end.
        unknown: Number of dead letters of which nothing is known.
        latest_ms: When the last of these replays was recorded, unix ms; 0 if there is none.
    """

    replayed: int = 0
    perhaps: int = 0
    unknown: int = 0
    latest_ms: int = 0

    def add(self, status: ReplayStatus) -> None:
        """Count a dead letter."""
        self.replayed += status.state is ReplayState.YES
        self.perhaps += status.state is ReplayState.PERHAPS
        self.unknown += status.state is ReplayState.UNKNOWN
        self.latest_ms = max(self.latest_ms, status.at_ms)

    def __str__(self) -> str:
        latest = f" (last at {iso_time(self.latest_ms)})" if self.latest_ms else ""
        parts = (
            (self.replayed, "replayed before"),
            (self.perhaps, "perhaps replayed: a replay has begun and recorded no end"),
            (self.unknown, "perhaps replayed: what was replayed cannot be read"),
        )
        return "; ".join(f"{number:,} {what}" for number, what in parts if number) + latest


def note_missing(log: ReplayLog) -> None:
    """Say that a topic which the user named to remember replays does not exist: a typing error?"""
    if log.is_missing and log.topic != REPLAY_TOPIC:
        click.echo(f"there is no topic {log.topic}, so no replay is remembered in it", err=True)


def replayed_text(counted: Counted, history: ReplayHistory) -> str:
    """Return how many dead letters were replayed, as text."""
    if history.problem is not None:
        return "?"
    perhaps = f", perhaps {counted.perhaps_replayed:,}" if counted.perhaps_replayed else ""
    return f"{counted.replayed:,}{perhaps}"


def counts_document(counted: Counted, history: ReplayHistory) -> dict[str, Any]:
    """Return how many dead letters were replayed, as data for JSON; `None` if unknown."""
    known = history.problem is None
    return {
        "replayed": counted.replayed if known else None,
        "perhaps_replayed": counted.perhaps_replayed if known else None,
    }


def history_lines(history: ReplayHistory) -> Iterable[str]:
    """Yield a line that says why nothing is known about replays, if that is so."""
    if history.problem is not None:
        yield f"whether dead letters were replayed is unknown: {printable(history.problem)}"


async def counted_again(
    dead_letters: AsyncGenerator[Letter, None], history: ReplayHistory
) -> Again:
    """Count the dead letters that would, or might, be sent again."""
    again = Again()
    try:
        async with aclosing(dead_letters):
            async for dead_letter in dead_letters:
                if dead_letter.provenance is not None:
                    again.add(history.status(dead_letter))
    except LookupError:
        # A missing one is reported by the replay itself, with what was sent.
        return again
    return again


def ask_again(again: Again, *, yes: bool) -> None:
    """Ask before dead letters are sent that were, or may have been, sent before.

    Raises:
        click.ClickException: There is no terminal to ask at.
        click.Abort: The answer is no.
    """
    if yes or not (again.replayed or again.perhaps or again.unknown):
        return
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"nothing was sent, and there is no terminal to ask at. Selected: {again}. --yes "
            "replays them again; --not-replayed leaves out those that were replayed"
        )
    ask(f"Selected: {again}. Replay these again?")


def is_pending(dead_letter: Letter, status: ReplayStatus) -> bool:
    """Return whether a record is a dead letter, readable or not, that may wait for a replay."""
    is_dead_letter = dead_letter.provenance is not None or dead_letter.problem is not None
    return is_dead_letter and status.state is not ReplayState.YES
