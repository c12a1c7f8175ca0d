"""Plan replays, and carry each plan out at most once.

A plan holds the places of the dead letters that an operator has seen, and what was known of each.
What arrived since then is not in it, and what has changed since then is not sent. Another replay of
the same dead letters, here or by the command line, is noticed by the marks of both.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from secrets import token_urlsafe
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.dlq.reading import letters
from tracing.dlq.replay_log import ReplayLog
from tracing.dlq.replayed import ReplayState
from tracing.dlq.replaying import Replayed, replay
from tracing.dlq_web.problems import PageError, not_allowed
from tracing.headers.dead_letter import WRITTEN_BY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayHistory, ReplayStatus
    from tracing.dlq_web.reading import Found, Reading
    from tracing.dlq_web.settings import Settings
    from tracing.headers.dead_letter import Provenance

_VALID_S: Final = 15 * 60
_MOST: Final = 100


class PlanState(StrEnum):
    """How far a plan is."""

    OPEN = "open"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Planned:
    """A dead letter of a plan, as the operator saw it.

    Attributes:
        place: Its place.
        written_ms: Its timestamp; another record at the same place has a different one.
        provenance: Where it goes.
        status: What was known about its replays.
    """

    place: LetterId
    written_ms: int
    provenance: Provenance
    status: ReplayStatus

    @property
    def partition(self) -> tuple[str, int]:
        """The topic and the partition that it goes to."""
        return self.provenance.topic, self.provenance.partition

    def change(self, dead_letter: Letter, status: ReplayStatus) -> str | None:
        """Return why a record is not the dead letter that was planned; `None` if it is."""
        seen = (self.place, self.written_ms, self.provenance)
        if seen != (dead_letter.id, dead_letter.record.timestamp, dead_letter.provenance):
            return "another record is at its place now"
        if status != self.status:
            return "it was replayed after the dry run, or a replay has begun"
        return None


@dataclass(slots=True)
class Plan:
    """What a replay will send, or has sent.

    Attributes:
        topic: The dead-letter topic.
        again: Whether it sends what was, or may have been, replayed before.
        problem: Why it is not known what was replayed; then nothing can be sent.
        sending: The dead letters to send.
        before: Dead letters that are not sent because they were, or may have been, replayed.
        refused: Dead letters that are never sent, with the reasons.
        empty: Topics and partitions to send to that held no record at the dry run. Marks do not
            work there, so all groups handle what is sent.
        id: Names the plan in addresses.
        made_at: When it was made, on the monotonic clock, in seconds.
        state: How far it is.
        result: The result, once it runs.
        left_out: Dead letters that have changed since the dry run, with the reasons.
        error: What ended it early.
    """

    topic: str
    again: bool
    problem: str | None
    sending: list[Planned] = field(default_factory=list)
    before: list[Planned] = field(default_factory=list)
    refused: dict[LetterId, str] = field(default_factory=dict)
    empty: set[tuple[str, int]] = field(default_factory=set)
    id: str = field(default_factory=lambda: token_urlsafe(9))
    made_at: float = field(default_factory=monotonic)
    state: PlanState = PlanState.OPEN
    result: Replayed = field(default_factory=Replayed)
    left_out: dict[LetterId, str] = field(default_factory=dict)
    error: str | None = None

    def add(self, found: Found) -> None:
        """Add a dead letter where it belongs."""
        dead_letter, status = found.dead_letter, found.status
        provenance = dead_letter.provenance
        if found.refusal is not None or provenance is None:
            self.refused[dead_letter.id] = found.refusal or "it does not say where it came from"
            return
        planned = Planned(dead_letter.id, dead_letter.record.timestamp, provenance, status)
        fresh = status.state is ReplayState.NO
        (self.sending if fresh or self.again else self.before).append(planned)

    @property
    def of_others(self) -> list[Planned]:
        """The dead letters to send that other systems wrote, which all groups may handle."""
        return [each for each in self.sending if each.provenance.written_by != WRITTEN_BY]

    @property
    def to_empty(self) -> list[Planned]:
        """The dead letters to send that go to an empty partition, and so to all groups."""
        return [each for each in self.sending if each.partition in self.empty]

    @property
    def can_be_sent(self) -> bool:
        """Whether there is something to send, and its replay can be remembered."""
        return self.state is PlanState.OPEN and bool(self.sending) and self.problem is None

    def outcome(self, place: LetterId) -> str:
        """Return what became of a dead letter of a plan that has ended."""
        if place in self.result.failed:
            return f"not sent: {self.result.failed[place]}"
        if place in self.left_out:
            return f"not sent: {self.left_out[place]}"
        return "sent" if self.error is None else "not known; its page shows whether it was sent"


class Plans:
    """Keeps the plans of one server. For one event loop.

    Args:
        settings: The options of the server.
        reading: Reads the dead letters to plan for.

    Attributes:
        reading: Reads the dead letters to plan for.
    """

    def __init__(self, settings: Settings, reading: Reading) -> None:
        self._settings = settings
        self.reading = reading
        self._plans: dict[str, Plan] = {}

    @property
    def running(self) -> bool:
        """Whether a plan is being carried out."""
        return any(plan.state is PlanState.RUNNING for plan in self._plans.values())

    async def make(self, places: Sequence[LetterId], *, again: bool) -> Plan:
        """Make a plan for dead letters of one topic: a dry run.

        Raises:
            PageError: There is no such dead-letter topic, or they cannot be read in time.
            KafkaError: The cluster does not answer, or refuses.
        """
        found, problem = await self.reading.these(places)
        plan = Plan(places[0].topic, again, problem)
        for each in found:
            plan.add(each)
        for place in sorted({*places} - {each.dead_letter.id for each in found}):
            plan.refused[place] = "it is not there; it may have been purged"
        plan.empty = await self.reading.empty({each.partition for each in plan.sending})
        self._forget_some()
        self._plans[plan.id] = plan
        return plan

    def _forget_some(self) -> None:
        """Make room for an open plan: many dry runs hide no result, and many results no dry run."""
        for state in (PlanState.OPEN, PlanState.ENDED):
            names = [name for name, plan in self._plans.items() if plan.state is state]
            for name in names[: len(names) - _MOST + 1]:
                del self._plans[name]

    def find(self, plan_id: str) -> Plan:
        """Return a plan.

        Raises:
            PageError: There is none, or it is too old to be carried out.
        """
        plan = self._plans.get(plan_id)
        if plan is None:
            raise _over("What it sent, if anything, is shown with each dead letter.")
        if plan.state is PlanState.OPEN and monotonic() - plan.made_at > _VALID_S:
            raise _over("Nothing was sent. Select the dead letters again.")
        return plan

    async def carry_out(self, plan: Plan) -> None:
        """Send what a plan holds, unless that was begun before; `plan` has the result.

        Raises:
            PageError: The server does not replay.
        """
        telemetry, settings = self._settings.telemetry, self._settings
        if telemetry is None:
            raise not_allowed()
        if not plan.can_be_sent:
            return
        plan.state = PlanState.RUNNING
        try:
            async with ReplayLog(
                settings.connection,
                settings.replay_topic,
                dead_letter_topics={each.place.topic for each in plan.sending},
                timeout_s=settings.timeout_s,
            ) as log:
                await replay(
                    settings.connection,
                    self._unchanged(plan, log.history),
                    telemetry,
                    dead_letter_topic=settings.template,
                    formats=settings.formats,
                    result=plan.result,
                    log=log,
                )
        except Exception as error:
            plan.error = settings.explain(error) or type(error).__name__
            if settings.explain(error) is None:
                raise
        except BaseException:
            plan.error = "the server was stopped"
            raise
        finally:
            plan.state = PlanState.ENDED

    async def _unchanged(self, plan: Plan, history: ReplayHistory) -> AsyncGenerator[Letter, None]:
        settings = self._settings
        planned = {each.place: each for each in plan.sending}
        reading = letters(
            settings.connection,
            {place.topic for place in planned},
            only=tuple(planned),
            timeout_s=settings.timeout_s,
            formats=settings.formats,
        )
        missing = "it is no longer there"
        left_s = settings.read_s
        async with aclosing(reading):
            while planned:
                begun = monotonic()
                clock = asyncio.timeout(left_s)
                try:
                    # Not around the sends: what is under way must not be cancelled.
                    async with clock:
                        dead_letter = await anext(reading, None)
                except TimeoutError:
                    if not clock.expired():
                        raise
                    missing = f"it could not be read within {settings.read_s:g} s"
                    break
                if dead_letter is None:
                    break
                left_s -= monotonic() - begun
                change = planned.pop(dead_letter.id).change(
                    dead_letter, history.status(dead_letter)
                )
                if change is None:
                    yield dead_letter
                else:
                    plan.left_out[dead_letter.id] = change
        plan.left_out |= dict.fromkeys(planned, missing)


def _over(what_was_sent: str) -> PageError:
    limit = f"It can be confirmed for {_VALID_S // 60} minutes, while the server runs."
    return PageError(HTTPStatus.NOT_FOUND, "This dry run is over", f"{limit} {what_was_sent}")
