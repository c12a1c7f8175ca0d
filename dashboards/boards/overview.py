"""Is the pipeline healthy, and where does the time go?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.model.board import Board, Row, SignalPanel
from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import INTERVAL
from dashboards.signals import (
    dead_letters,
    flows,
    held_up,
    hop_time,
    lag,
    mean_flow,
    objectives,
    sagas,
    topology,
)

if TYPE_CHECKING:
    from dashboards.config import Config


def overview_board(config: Config) -> Board:
    """Make the dashboard."""
    limits_s = [objective.within_s for objective in config.objectives]
    return Board(
        name="overview",
        title="overview",
        description="Is the whole pipeline healthy, and if not, where is the problem?",
        variables=("pipeline", "service", "destination", "group", "saga"),
        rows=(
            Row(
                "Is it healthy?",
                (
                    SignalPanel(
                        kind="stat",
                        signals=(objectives.lateness(config.objectives),),
                        width=4,
                        height=5,
                        over=INTERVAL,
                    ),
                    SignalPanel(
                        kind="stat",
                        signals=(objectives.budget_left(config.objectives),),
                        width=4,
                        height=5,
                        over="$__range",
                        drill_down="traces",
                    ),
                    SignalPanel(
                        kind="stat",
                        signals=(dead_letters.COUNT,),
                        width=4,
                        height=5,
                        over=INTERVAL,
                        drill_down="dead-letters",
                    ),
                    SignalPanel(
                        kind="stat", signals=(sagas.OVERDUE,), width=4, height=5, drill_down="sagas"
                    ),
                    SignalPanel(
                        kind="stat",
                        signals=(sagas.FAILED,),
                        width=4,
                        height=5,
                        over=INTERVAL,
                        drill_down="sagas",
                    ),
                    SignalPanel(
                        kind="stat",
                        signals=(lag.STALLED_OR_DEAD,),
                        width=4,
                        height=5,
                        drill_down="lag",
                    ),
                ),
            ),
            Row(
                "How late is it?",
                (
                    SignalPanel(
                        kind="timeseries",
                        signals=tuple(flows.end_to_end(q, *limits_s) for q in (0.5, 0.95, 0.99)),
                        width=12,
                        title="End-to-end lag",
                        drill_down="traces",
                    ),
                    SignalPanel(kind="heatmap", signals=(flows.END_TO_END_DISTRIBUTION,), width=12),
                    SignalPanel(
                        kind="timeseries",
                        signals=(flows.END_TO_END_BY_HOP,),
                        width=24,
                        drill_down="lag",
                        picks=(GROUP, TOPIC),
                    ),
                ),
            ),
            Row(
                "Where does the time go?",
                (
                    SignalPanel(
                        kind="funnel",
                        signals=(held_up.HELD_UP,),
                        width=24,
                        drill_down="lag",
                        picks=(GROUP, TOPIC),
                    ),
                    SignalPanel(
                        kind="waterfall",
                        signals=mean_flow.PARTS,
                        width=24,
                        height=16,
                        over="$__range",
                        title="A mean flow, step by step",
                    ),
                    SignalPanel(
                        kind="stacked",
                        signals=hop_time.LAYERS,
                        width=16,
                        title="Mean time of flows that arrive",
                        description="The layers add up to the end-to-end lag at one hop: that "
                        "with the oldest flows among the groups and topics chosen above, over all "
                        "of the time shown. To walk back along a flow, choose the group and topic "
                        "of an earlier hop. Where pipelines share a hop, its processing is the "
                        "mean of all of them, and what differs is in the layer before this hop.",
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(kind="timeseries", signals=(hop_time.TOTAL,), width=8),
                ),
            ),
            Row(
                "What is the throughput?",
                (
                    SignalPanel(
                        kind="timeseries",
                        signals=(flows.SENT,),
                        width=12,
                        drill_down="service",
                        picks=(TOPIC,),
                    ),
                    SignalPanel(
                        kind="timeseries",
                        signals=(flows.CONSUMED,),
                        width=12,
                        drill_down="lag",
                        picks=(GROUP, TOPIC),
                    ),
                    SignalPanel(
                        kind="graph",
                        signals=(topology.EDGES, topology.NODES),
                        width=24,
                        height=14,
                        title="Services and topics",
                        description="Which service sends to and receives from each topic, in "
                        "records per second, with the mean time of a send or of processing and "
                        "the share that failed. Dashed lines are events, red ones have failures. "
                        "The data comes from metrics, so sampling hides nothing.",
                    ),
                ),
            ),
        ),
    )
