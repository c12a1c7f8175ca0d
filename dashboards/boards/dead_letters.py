"""Which records became dead letters, why, and how are they replayed?"""

from __future__ import annotations

from dashboards.model.board import Board, Row, SignalPanel, TextPanel, TracesPanel
from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import INTERVAL
from dashboards.signals import completeness, dead_letters

_COMMANDS = """\
Run these on a machine that reaches the brokers in `KAFKA_BOOTSTRAP_SERVERS` (security settings:
`PIPELINE_TRACING_COMMAND_CONFIG`). GROUP is a group from the table above.

```sh
python -m tracing dlq list --group GROUP            # by topic and error, with ages
python -m tracing dlq show TOPIC/PARTITION/OFFSET   # why this one failed, and its trace
python -m tracing dlq replay --group GROUP --dry-run
python -m tracing dlq replay --group GROUP
```

Dead letters stay until you purge them (`python -m tracing dlq purge --help`) or Kafka deletes them.
"""


def dead_letters_board() -> Board:
    """Make the dashboard."""
    return Board(
        name="dead-letters",
        title="dead letters",
        description="Which records became dead letters, why, and how are they replayed?",
        variables=("group", "destination"),
        rows=(
            Row(
                "Which records could not be processed?",
                (
                    SignalPanel(kind="stat", signals=(dead_letters.COUNT,), width=6, over=INTERVAL),
                    SignalPanel(
                        kind="counts",
                        signals=(dead_letters.RATE,),
                        width=9,
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="counts",
                        signals=(dead_letters.BY_REASON,),
                        width=9,
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(kind="timeseries", signals=(dead_letters.DEPTH,), width=12),
                    SignalPanel(kind="timeseries", signals=(dead_letters.OLDEST,), width=12),
                ),
            ),
            Row(
                "Has everything else been handled?",
                (
                    SignalPanel(
                        kind="table",
                        signals=completeness.BALANCE,
                        width=24,
                        title="Balance of each group",
                        over="$__range",
                    ),
                    SignalPanel(kind="counts", signals=(completeness.SKIPPED,), width=12),
                    SignalPanel(kind="counts", signals=(completeness.REWOUND,), width=12),
                ),
            ),
            Row(
                "What led to them?",
                (
                    SignalPanel(
                        kind="counts",
                        signals=(dead_letters.RETRIES_BY_REASON,),
                        width=24,
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="heatmap", signals=(dead_letters.ATTEMPTS_DISTRIBUTION,), width=12
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(dead_letters.ATTEMPTS,),
                        width=6,
                        drill_down="lag",
                        picks=(GROUP, TOPIC),
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(dead_letters.RETRY_P95,),
                        width=6,
                        drill_down="lag",
                        picks=(GROUP, TOPIC),
                    ),
                    TracesPanel(
                        title="Traces with dead letters",
                        description="Each trace shows the event's flow and the error of every "
                        "attempt.",
                        query="{ name =~ "
                        "`dead_letter (${destination:regex})[.](${group:regex})[.]dlq` }",
                    ),
                ),
            ),
            Row(
                "How to replay them",
                (
                    SignalPanel(
                        kind="table",
                        signals=(dead_letters.REPLAYABLE,),
                        width=24,
                        height=6,
                        column="Dead letters",
                    ),
                    TextPanel(
                        title="Commands",
                        description="Install them with pip install 'pipeline-tracing[cli]'.",
                        content=_COMMANDS,
                        width=12,
                        height=9,
                    ),
                    SignalPanel(kind="counts", signals=(dead_letters.REPLAYED,), width=4, height=9),
                    SignalPanel(
                        kind="counts", signals=(dead_letters.REPLAYS_SKIPPED,), width=4, height=9
                    ),
                    SignalPanel(
                        kind="counts", signals=(dead_letters.UNREADABLE,), width=4, height=9
                    ),
                ),
            ),
        ),
    )
