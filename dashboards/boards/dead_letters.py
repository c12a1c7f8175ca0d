"""What was given up, why, and what to do about it?"""

from __future__ import annotations

from dashboards.board import Board, Row, SignalPanel, TextPanel, TracesPanel
from dashboards.signals import letters

_COMMANDS = """\
List them, look at one, see what a replay would do, replay:

```sh
python -m tracing dlq list
python -m tracing dlq show TOPIC/PARTITION/OFFSET
python -m tracing dlq replay --group '$group' --dry-run
python -m tracing dlq replay --group '$group'
```

Mend the cause first: a replay that fails again is a dead letter again.
"""


def dead_letters() -> Board:
    """Make the dashboard."""
    return Board(
        name="dead-letters",
        title="dead letters",
        description="What was given up, why, and what should one do about it?",
        variables=("group", "destination"),
        rows=(
            Row(
                "What was given up?",
                (
                    SignalPanel(
                        kind="stat", signals=(letters.COUNT,), width=6, height=7, over="$interval"
                    ),
                    SignalPanel(kind="timeseries", signals=(letters.RATE,), width=9, height=7),
                    SignalPanel(kind="timeseries", signals=(letters.BY_REASON,), width=9, height=7),
                    SignalPanel(kind="timeseries", signals=(letters.DEPTH,), width=12),
                    SignalPanel(kind="timeseries", signals=(letters.OLDEST,), width=12),
                ),
            ),
            Row(
                "What led to it?",
                (
                    SignalPanel(kind="timeseries", signals=(letters.RETRIES_BY_REASON,), width=12),
                    SignalPanel(kind="timeseries", signals=(letters.RETRY_P95,), width=12),
                    TracesPanel(
                        title="Traces with dead letters",
                        description="Each shows the whole way of the event, and what every attempt "
                        "failed with.",
                        query='{ name =~ "dead_letter .*" }',
                    ),
                ),
            ),
            Row(
                "What to do?",
                (
                    TextPanel(
                        title="Commands",
                        description="For the group that is chosen above.",
                        content=_COMMANDS,
                        width=12,
                        height=8,
                    ),
                    SignalPanel(kind="timeseries", signals=(letters.REPLAYED,), width=12),
                ),
            ),
        ),
    )
