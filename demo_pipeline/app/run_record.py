"""The record of a run while it goes on, so that a run that fails or is stopped has a report too."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from demo_pipeline.app.recording import Recording
from demo_pipeline.app.span_logs import SpanLogs
from demo_pipeline.domain.topics import ORDERS
from demo_pipeline.report import RunResult
from demo_pipeline.runtime.scenarios import SCENARIOS
from demo_pipeline.services import latecomers_of, services_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from opentelemetry.sdk.trace import ReadableSpan

_PROCESS: Final = f"process {ORDERS}"
_UNREADABLE: Final = {
    "messaging.consumer.group.name": "orchestrator",
    "pipeline.outcome": "dead_lettered",
    "error.type": "tracing.UndecodableRecord",
}


@dataclass(slots=True)
class RunRecord:
    """The record of one run, filled while it goes on.

    Attributes:
        scenario: The name of the scenario.
        recording: The spans and metrics of its services.
        order_ids: The accepted orders.
        users: The customers of orders by order id, if the run may name them.
        logs: The log lines of its spans, if the run keeps them.
        started_unix_ns: When customers began to place orders, unix ns; until then, when the record
            was created.
        duration_s: How long placing the orders and waiting for their end took, in seconds; 0 until
            it is over.
    """

    scenario: str
    recording: Recording = field(default_factory=Recording)
    order_ids: list[str] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    logs: SpanLogs = field(default_factory=SpanLogs)
    started_unix_ns: int = field(default_factory=time.time_ns)
    duration_s: float = 0.0

    def result(self, problems: Collection[str]) -> RunResult:
        """Return the result of the run, for a report.

        Args:
            problems: What went wrong, one line each; empty for a run that went well.
        """
        scenario = SCENARIOS[self.scenario]
        return RunResult(
            spans=self.recording.spans,
            metrics=self.recording.metrics,
            order_ids=tuple(self.order_ids),
            services=(*services_of(scenario), *latecomers_of(scenario)),
            scenario=self.scenario,
            started_unix_ns=self.started_unix_ns,
            duration_s=self.duration_s,
            problems=tuple(problems),
            users=self.users,
            logs=self.logs.lines,
        )


def unreadable_orders(spans: Iterable[ReadableSpan]) -> frozenset[str]:
    """Return the ids of the orders whose `OrderPlaced` the orchestrator could not decode.

    Those orders never end. Any other dead letter only leaves a saga without an answer, and the saga
    ends all the same; an order that was dead-lettered for another reason counts as lost.
    """
    order_ids = set()
    for span in spans:
        # The name first: most spans make their attributes only when they are asked for.
        if span.name != _PROCESS:
            continue
        attributes = span.attributes or {}
        if _UNREADABLE.items() <= attributes.items():
            order_id = attributes.get("messaging.message.conversation_id")
            if isinstance(order_id, str):
                order_ids.add(order_id)
    return frozenset(order_ids)
