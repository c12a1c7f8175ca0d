"""What a service works with: its clients, its database, and how patient it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo_pipeline.domain.deadlines import PATIENT
from demo_pipeline.domain.pace import steady_pace
from demo_pipeline.runtime.faults import no_faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.domain.deadlines import Deadlines
    from demo_pipeline.domain.pace import Pace
    from demo_pipeline.runtime.faults import Faults
    from tracing import Telemetry
    from tracing.sql import SqlInbox, SqlOutbox


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """Where a service does its work.

    Attributes:
        telemetry: What its clients share.
        database: Its own database.
        inbox: Knows which messages were worked on before.
        outbox: Takes the messages that are to be sent.
        committed: Called when there may be something in the outbox.
        faults: What goes wrong on purpose.
        deadlines: How patient its sagas are, if it has any.
        pace: How fast the shop is; deadlines stretch with it.
    """

    telemetry: Telemetry
    database: AsyncEngine
    inbox: SqlInbox
    outbox: SqlOutbox
    committed: Callable[[], None]
    faults: Faults = field(default_factory=no_faults)
    deadlines: Deadlines = PATIENT
    pace: Pace = field(default_factory=steady_pace)
