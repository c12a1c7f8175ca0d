"""What was given up, why, and what to do about it?"""

from __future__ import annotations

from dashboards.model.board import Board, Row, SignalPanel, TextPanel, TracesPanel
from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import INTERVAL
from dashboards.signals import dead_letters

_COMMANDS = """\
On a machine that reaches the broker (`KAFKA_BOOTSTRAP_SERVERS`, and for security settings
`PIPELINE_TRACING_COMMAND_CONFIG`), for a GROUP of the table above:

```sh
python -m tracing dlq list --group GROUP            # by topic and error, since when
python -m tracing dlq show TOPIC/PARTITION/OFFSET   # why this one failed, and its trace
python -m tracing dlq replay --group GROUP --dry-run
python -m tracing dlq replay --group GROUP
```

Letters stay until they are purged, `python -m tracing dlq purge --help`, or the topic forgets them.
"""


def dead_letters_board() -> Board:
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
                "What led to it?",
                (
                    SignalPanel(
                        kind="counts",
                        signals=(dead_letters.RETRIES_BY_REASON,),
                        width=12,
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(dead_letters.RETRY_P95,),
                        width=12,
                        drill_down="lag",
                        picks=(GROUP, TOPIC),
                    ),
                    TracesPanel(
                        title="Traces with dead letters",
                        description="Each shows the whole way of the event, and what every attempt "
                        "failed with.",
                        query='{ name =~ "dead_letter ($destination)[.]($group)[.]dlq" }',
                    ),
                ),
            ),
            Row(
                "What to do?",
                (
                    SignalPanel(
                        kind="table",
                        signals=(dead_letters.TO_DO,),
                        width=24,
                        height=6,
                        column="Letters",
                    ),
                    TextPanel(
                        title="Commands",
                        description="They come with pip install 'pipeline-tracing[cli]'.",
                        content=_COMMANDS,
                        width=12,
                        height=9,
                    ),
                    SignalPanel(kind="counts", signals=(dead_letters.REPLAYED,), width=4, height=9),
                    SignalPanel(kind="counts", signals=(dead_letters.NOT_OURS,), width=4, height=9),
                    SignalPanel(
                        kind="counts", signals=(dead_letters.UNREADABLE,), width=4, height=9
                    ),
                ),
            ),
        ),
    )
