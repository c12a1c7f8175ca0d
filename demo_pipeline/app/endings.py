"""When a run is over: every order that was placed has ended, for every service that keeps count."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.app.run_record import unreadable_orders
from demo_pipeline.report.wording import counted
from demo_pipeline.services import analytics, loyalty, observer, orders, receipts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.app.bootstrap import RunningService
    from demo_pipeline.app.progress import Progress
    from demo_pipeline.app.run_record import RunRecord
    from demo_pipeline.domain.pace import Pace

_POLL_S: Final = 0.1
_NAMED: Final = 3

_DONE: Final[Mapping[str, Callable[[AsyncConnection], Awaitable[Collection[str] | None]]]] = {
    "orders": orders.ended_orders,
    "analytics": analytics.ended_orders,
    "observer": observer.notified_orders,
    "receipts": receipts.receipted_orders,
    "loyalty": loyalty.seen_orders,
}
"""Which orders a service is done with, by service; `None` if it cannot show that."""


@dataclass(frozen=True, slots=True)
class Endings:
    """Waits for the end of the orders of a run.

    Attributes:
        record: The record of the run.
        progress: Receives the progress of the run.
        pace: How fast the shop runs.
        timeout_s: Seconds to wait, on an idle machine.
    """

    record: RunRecord
    progress: Progress
    pace: Pace
    timeout_s: float

    async def reached(self, running: Mapping[str, RunningService]) -> tuple[str, ...]:
        """Wait until all orders have ended in every service, or could not be read.

        A service whose read model is not built yet is not waited for.

        Args:
            running: The services to ask.

        Returns:
            What is missing, as one line; nothing if all ended in time.
        """
        started = time.monotonic()
        spans, lost = 0, set[str]()
        open_in = {name: service for name, service in running.items() if name in _DONE}
        done: dict[str, Collection[str]] = {}
        while True:
            ended_spans = self.record.recording.spans
            lost |= unreadable_orders(ended_spans[spans:])
            spans = len(ended_spans)
            for name, service in list(open_in.items()):
                async with service.database.connect() as connection:
                    ended = await _DONE[name](connection)
                if ended is not None:
                    done[name] = ended
                    if lost.union(ended).issuperset(self.record.order_ids):
                        # An end is final, so this service need not be asked again.
                        del open_in[name]
            unfinished = self._unfinished(done.values(), lost)
            self.progress.ended(len(self.record.order_ids) - len(unfinished))
            # Where answers take longer, so do orders; the deadlines of sagas stretch likewise.
            timeout_s = self.timeout_s * self.pace.factor
            if not unfinished:
                return ()
            if time.monotonic() - started >= timeout_s:
                orders = f"{len(unfinished):,} of {counted(len(self.record.order_ids), 'order')}"
                more = ", ..." if len(unfinished) > _NAMED else ""
                named = ", ".join(unfinished[:_NAMED]) + more
                return (f"{orders} did not end within {timeout_s:.3g} s (--timeout): {named}",)
            await asyncio.sleep(_POLL_S)

    def _unfinished(self, done: Iterable[Collection[str]], lost: Collection[str]) -> list[str]:
        """Return the orders that have not ended in every service, and can still be read."""
        everywhere = [set(each) for each in done]
        ended = set.intersection(*everywhere) if everywhere else set()
        return [each for each in self.record.order_ids if each not in ended and each not in lost]
