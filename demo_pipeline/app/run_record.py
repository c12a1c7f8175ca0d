"""What is known of a run at any moment, so that one that fails or is stopped has a report too."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo_pipeline.app.recording import Recording
from demo_pipeline.report import RunResult
from demo_pipeline.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Collection


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
