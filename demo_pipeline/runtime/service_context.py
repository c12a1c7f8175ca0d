"""What a running service works with: telemetry, database, codec, inbox, outbox and deadlines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo_pipeline.domain.codec import Codec
from demo_pipeline.domain.deadlines import PATIENT
from demo_pipeline.domain.durations import StateDurations
from demo_pipeline.domain.pace import steady_pace
from demo_pipeline.runtime.arrivals import Arrivals
from demo_pipeline.runtime.faults import no_faults
from tracing.replay import LogEnds

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.domain.deadlines import Deadlines
    from demo_pipeline.domain.pace import Pace
    from demo_pipeline.runtime.faults import Faults
    from demo_pipeline.runtime.group_commit import GroupCommit
    from tracing import Telemetry
    from tracing.sql import AddedRecords, SqlInbox, SqlOutbox


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a running service works with.

    Attributes:
        telemetry: The telemetry that its clients share.
        database: Its own database, to read from.
        commits: Does work in transactions of it.
        inbox: Recognises messages that were handled before.
        outbox: Stores the messages to send.
        committed: Called after a commit that may have added to the outbox, with the records.
        faults: Deliberate faults.
        deadlines: The deadlines of its sagas, if it has any.
        pace: How fast the shop runs; deadlines stretch with it.
        codec: Encodes and decodes messages.
        orders: Calls the orders API, if the service asks it anything.
        arrivals: Wakes the HTTP requests that wait for a message to be handled.
        durations: How long orders recently stayed in each state, if the service follows them.
        ends: How far the log reaches that the service reads.
    """

    telemetry: Telemetry
    database: AsyncEngine
    commits: GroupCommit
    inbox: SqlInbox
    outbox: SqlOutbox
    committed: Callable[[AddedRecords | None], None]
    faults: Faults = field(default_factory=no_faults)
    deadlines: Deadlines = PATIENT
    pace: Pace = field(default_factory=steady_pace)
    codec: Codec = field(default_factory=Codec)
    orders: httpx.AsyncClient | None = None
    arrivals: Arrivals = field(default_factory=Arrivals)
    durations: StateDurations = field(default_factory=StateDurations)
    ends: LogEnds = field(default_factory=LogEnds)
