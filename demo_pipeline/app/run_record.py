"""What is known of a run at any moment, so that one that fails or is stopped has a report too."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from demo_pipeline.app.recording import Recording
from demo_pipeline.domain.topics import ORDERS
from demo_pipeline.report import RunResult
from demo_pipeline.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from opentelemetry.sdk.trace import ReadableSpan

_PROCESS: Final = f"process {ORDERS}"
_UNREADABLE: Final = {
    "messaging.consumer.group.name": "orchestrator",
    "pipeline.outcome": "dead_lettered",
    "error.type": "msgspec.DecodeError",
}


@dataclass(slots=True)
class RunRecord:
    """The record of one run, kept while it goes on.

    Attributes:
        scenario: The name of the scenario.
        recording: What the services leave behind in memory.
        order_ids: The orders that were accepted.
        started_unix_ns: When customers began to place orders, unix ns; before that, when the
            record was begun.
        duration_s: How long orders were placed and waited for, in seconds; 0 before that is over.
    """

    scenario: str
    recording: Recording = field(default_factory=Recording)
    order_ids: list[str] = field(default_factory=list)
    started_unix_ns: int = field(default_factory=time.time_ns)
    duration_s: float = 0.0

    def result(self, problems: Collection[str]) -> RunResult:
        """Make the material of a report.

        Args:
            problems: What went wrong, one line each; nothing for a run that went well.
        """
        return RunResult(
            spans=self.recording.spans,
            metrics=self.recording.metrics,
            order_ids=tuple(self.order_ids),
            services=tuple(SERVICES),
            scenario=self.scenario,
            started_unix_ns=self.started_unix_ns,
            duration_s=self.duration_s,
            problems=tuple(problems),
        )


def unreadable_orders(spans: Iterable[ReadableSpan]) -> frozenset[str]:
    """The ids of the orders of which the orchestrator could not read that they were placed.

    They come to no end. Whatever else becomes a dead letter, the saga gets no answer to, and ends
    without it; and an order that was given up for another reason is one that was lost.
    """
    found = set()
    for span in spans:
        attributes = span.attributes or {}
        if span.name == _PROCESS and _UNREADABLE.items() <= attributes.items():
            order_id = attributes.get("messaging.message.conversation_id")
            if isinstance(order_id, str):
                found.add(order_id)
    return frozenset(found)
