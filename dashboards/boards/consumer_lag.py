"""How far behind is each group, and will it catch up?"""

from __future__ import annotations

from dashboards.model.board import Board, Row, SignalPanel
from dashboards.model.labels import GROUP, TOPIC
from dashboards.signals import catch_up, cluster, flows, hop_time, lag, order, replays


def consumer_lag_board() -> Board:
    """Make the dashboard."""
    hop = (GROUP, TOPIC)
    return Board(
        name="lag",
        title="consumer lag",
        description="How far behind is each group, measured from outside, and will it catch up?",
        variables=("group", "destination"),
        rows=(
            Row(
                "Who is behind?",
                (
                    SignalPanel(kind="stat", signals=(lag.STALLED_OR_DEAD,), width=6),
                    SignalPanel(
                        kind="timeline",
                        signals=(lag.GROUP_STATUS,),
                        width=18,
                        drill_down="dead-letters",
                        picks=(GROUP,),
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(lag.SECONDS,),
                        width=12,
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(lag.RECORDS,),
                        width=12,
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                ),
            ),
            Row(
                "Where does a record's time go?",
                tuple(
                    SignalPanel(
                        kind="timeseries",
                        signals=(signal,),
                        width=width,
                        drill_down="service",
                        picks=(TOPIC,),
                    )
                    for signal, width in (
                        (hop_time.PUBLISH, 8),
                        (hop_time.WAIT, 8),
                        (hop_time.RETRY, 8),
                        (hop_time.RESOURCE_WAIT, 12),
                        (hop_time.PROCESSING, 12),
                    )
                ),
            ),
            Row(
                "Will it catch up?",
                (
                    SignalPanel(kind="timeseries", signals=(lag.CATCH_UP,), width=12, far=True),
                    SignalPanel(
                        kind="timeseries",
                        signals=(flows.CONSUMED,),
                        width=12,
                        drill_down="dead-letters",
                        picks=hop,
                    ),
                    SignalPanel(
                        kind="table",
                        signals=(lag.TOP_PARTITIONS_BY_SECONDS,),
                        width=12,
                        column="Behind",
                    ),
                    SignalPanel(
                        kind="table",
                        signals=(lag.TOP_PARTITIONS_BY_RECORDS,),
                        width=12,
                        column="Records",
                    ),
                ),
            ),
            Row(
                "Is it Kafka or us?",
                (
                    *(
                        SignalPanel(kind="stat", signals=(signal,), width=3)
                        for signal in (
                            cluster.REACHABLE,
                            cluster.BROKERS,
                            cluster.OFFLINE,
                            cluster.UNDER_REPLICATED,
                        )
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(cluster.CLIENT_P95,),
                        width=6,
                        drill_down="service",
                    ),
                    SignalPanel(kind="counts", signals=(cluster.LEADER_CHANGES,), width=6),
                ),
            ),
            Row(
                "How old are the read models, and is one being rebuilt?",
                (
                    SignalPanel(kind="timeseries", signals=(replays.STALENESS,), width=8),
                    SignalPanel(kind="timeseries", signals=(replays.RATE,), width=8),
                    SignalPanel(kind="timeseries", signals=(replays.REMAINING,), width=8),
                ),
            ),
            Row(
                "Who works off history?",
                tuple(
                    SignalPanel(kind="timeseries", signals=(signal,), width=8)
                    for signal in (catch_up.REMAINING, catch_up.RATE, catch_up.TIME_LEFT)
                ),
            ),
            Row(
                "Is anything done twice, or in the wrong order?",
                (
                    SignalPanel(kind="timeseries", signals=(order.COMMAND_READERS,), width=12),
                    SignalPanel(kind="counts", signals=(order.OUT_OF_ORDER,), width=12),
                ),
            ),
            Row(
                "Will records be lost?",
                (
                    SignalPanel(kind="timeseries", signals=(lag.RETENTION_USED,), width=8),
                    SignalPanel(kind="timeseries", signals=(lag.RETENTION_LEFT,), width=8),
                    SignalPanel(kind="counts", signals=(lag.LOST,), width=8),
                ),
            ),
        ),
    )
